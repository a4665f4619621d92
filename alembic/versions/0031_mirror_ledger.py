"""The ledger of the mirror: what became of each collection in Milvus, when, and by which version of memstore.

Serves: `memstore milvus`, which compares it with what the collections say of themselves; it is never changed.
Cost: a new table only; nothing existing is locked.
Refused: the migration ledger (its steps are in one transaction with what they did; nothing in Milvus can be).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031_mirror_ledger"
down_revision = "0030_mirror_triggers"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

EVENTS = "'building', 'verified', 'activating', 'active', 'retired', 'dropped', 'adopted'"


def upgrade() -> None:
    op.create_table(
        "mirror_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "collection", sa.String(255), nullable=False, comment="the alias that readers use, such as memories_unified"
        ),
        sa.Column(
            "physical",
            sa.String(255),
            nullable=False,
            comment="the collection behind it, such as memories_unified__0001",
        ),
        sa.Column("revision", sa.String(32), nullable=False, comment="what it is built by"),
        sa.Column(
            "checksum",
            sa.String(64),
            nullable=False,
            comment="sha256 of what it is made of, hex",
        ),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("package_version", sa.String(50), nullable=False),
        sa.Column("recorded_by", sa.Text(), server_default=sa.text("session_user"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mirror_ledger"),
        sa.CheckConstraint(f"event IN ({EVENTS})", name=op.f("ck_mirror_ledger_event")),
        schema="memstore",
        comment="every step of a collection in Milvus, written by `memstore milvus`",
    )
    # The last event of a collection.
    op.create_index(
        "ix_mirror_ledger_collection_physical_id",
        "mirror_ledger",
        ["collection", "physical", sa.text("id DESC")],
        schema="memstore",
    )
    op.restore_table("mirror_ledger", schema="memstore")


def downgrade() -> None:
    op.archive_table("mirror_ledger", schema="memstore")
    op.drop_table("mirror_ledger", schema="memstore")
