"""The outbox of the mirror: which memories Milvus has still to hear of, and which it cannot take.

Serves: a relay, which works through the tenants of one shard in the order of their changes, takes what it has done out
again, and sets aside what Milvus refuses.
Cost: new tables and a function only. Nothing writes to them yet.
Refused: a foreign key from the outbox (what is deleted is what the mirror has to hear of); a shard by hash (the last
byte of a uuid is as even, and anybody can tell it); settings of autovacuum (they are an operator's).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029_mirror_outbox"
down_revision = "0028_memories_by_time"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
TIMESTAMP = sa.DateTime(timezone=True)

# Whoever counts in Python: tenant_id.bytes[15] % 16.
MIRROR_SHARD = """
CREATE FUNCTION memstore.mirror_shard(tenant uuid) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN get_byte(uuid_send(tenant), 15) % 16
"""


def upgrade() -> None:
    op.execute(MIRROR_SHARD)
    op.execute(
        "COMMENT ON FUNCTION memstore.mirror_shard(uuid) IS "
        "'which of 16 relays keeps the mirror of a tenant: 0 to 15, by the last byte of its id'"
    )
    op.create_table(
        "mirror_outbox",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False, comment="no foreign key: it may be gone by now"),
        sa.Column("node_id", sa.String(255), nullable=False, comment="no foreign key: it may be gone by now"),
        sa.Column("enqueued_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_mirror_outbox"),
        schema="memstore",
        comment="memories that the mirror has still to look at, in order",
    )
    # The next changes of a shard.
    op.create_index(
        "ix_mirror_outbox_shard_seq",
        "mirror_outbox",
        [sa.text("memstore.mirror_shard(tenant_id)"), "seq"],
        schema="memstore",
    )
    op.create_table(
        "mirror_rejections",
        sa.Column("tenant_id", sa.Uuid(), server_default=sa.text("memstore.current_tenant()"), nullable=False),
        sa.Column("node_id", sa.String(255), nullable=False, comment="no foreign key: it may be gone by now"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), comment="that of the memory that was refused"),
        sa.Column("rejected_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "node_id", name="pk_mirror_rejections"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_mirror_rejections_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_mirror_rejections_reason_not_empty")),
        schema="memstore",
        comment="memories that Milvus cannot take as they are, set aside by the relay",
    )
    for table in ("mirror_outbox", "mirror_rejections"):
        op.enable_tenant_isolation(table)
    for table in ("mirror_outbox", "mirror_rejections"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    # What was deleted and is still to be mirrored can be told from nothing else.
    for table in ("mirror_rejections", "mirror_outbox"):
        op.archive_table(table, schema="memstore")
    op.drop_table("mirror_rejections", schema="memstore")
    op.drop_table("mirror_outbox", schema="memstore")
    op.execute("DROP FUNCTION memstore.mirror_shard(uuid)")
