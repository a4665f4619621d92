"""Foundation: parameters, the ledger, and what every table stands on.

Serves: `memstore.settings` (the width of embeddings), the migration ledger, `current_tenant()` behind every policy and
default, and `touch()` behind every version.
Cost: new tables only; nothing existing is locked. CREATE EXTENSION wants the right to create in the database.
Refused: reading the tenant from a role name (one connection pool serves all tenants); dropping the extension on the way
down (the host's own tables may use it).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_foundation"
down_revision = None
branch_labels = ("memstore",)
depends_on = None
level = "reversible"

# NULL when unset or empty (what a pooled connection is left with): then no row is visible. Inlined into each policy.
CURRENT_TENANT = """
CREATE FUNCTION memstore.current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('memstore.tenant_id', true), '')::uuid $$
"""

# The trigger's WHEN decides what counts as a change.
TOUCH = """
CREATE FUNCTION memstore.touch() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.updated_at := now();
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
        schema="memstore",
        comment="parameters chosen at installation, such as embedding_dim",
    )
    op.execute(f"INSERT INTO memstore.settings (key, value) VALUES ('embedding_dim', '{op.embedding_dim():d}')")
    op.create_table(
        "migration_ledger",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("revision", sa.String(255), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), comment="sha256 of the revision file, hex, over its text with LF"),
        sa.Column("package_version", sa.String(50), nullable=False),
        sa.Column("applied_by", sa.Text(), server_default=sa.text("session_user"), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False, comment="how long the step took, milliseconds"),
        sa.PrimaryKeyConstraint("id", name="pk_migration_ledger"),
        sa.CheckConstraint(
            "direction IN ('upgrade', 'downgrade', 'stamp')", name=op.f("ck_migration_ledger_direction")
        ),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_migration_ledger_duration_ms_not_negative")),
        schema="memstore",
        comment="every migration step taken in this database, written by the migration environment",
    )
    op.execute(CURRENT_TENANT)
    op.execute(
        "COMMENT ON FUNCTION memstore.current_tenant() IS 'the tenant of this transaction, from memstore.tenant_id'"
    )
    op.execute(TOUCH)
    op.execute("COMMENT ON FUNCTION memstore.touch() IS 'sets updated_at and version on a change'")


def downgrade() -> None:
    op.execute("DROP FUNCTION memstore.touch()")
    op.execute("DROP FUNCTION memstore.current_tenant()")
    # lint: MS201 because it says how the schema came to be that goes with it
    op.drop_table("migration_ledger", schema="memstore")
    # lint: MS201 because it holds what the next installation is asked again, and the width that the archive tells
    op.drop_table("settings", schema="memstore")
