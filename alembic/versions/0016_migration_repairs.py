"""Migration repairs: what was found wrong with a revision and accepted, by whom and why.

Serves: `memstore db repair`, and every run, which refuses a released revision that was changed unless a row here
accepts that very content.
Cost: a new table only; nothing existing is locked.
Refused: a column of the migration ledger (a repair is no step, and the ledger is never changed); a file beside the
revisions (whoever changes one would change the other).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_migration_repairs"
down_revision = "0015_agent_stats"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

PROBLEMS = "'changed', 'missing', 'unknown', 'inserted', 'sums_edited', 'applied_differently', 'applied_unknown'"


def upgrade() -> None:
    op.create_table(
        "migration_repairs",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("revision", sa.String(255), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), comment="sha256 of the content accepted, hex; null: there is none"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("repaired_by", sa.Text(), server_default=sa.text("session_user"), nullable=False),
        sa.Column("repaired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("package_version", sa.String(50), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_migration_repairs"),
        sa.CheckConstraint(f"problem IN ({PROBLEMS})", name=op.f("ck_migration_repairs_problem")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_migration_repairs_reason_not_empty")),
        schema="memstore",
        comment="what `memstore db verify` found and somebody accepted, written by `memstore db repair`",
    )
    op.restore_table("migration_repairs", schema="memstore")


def downgrade() -> None:
    op.archive_table("migration_repairs", schema="memstore")
    op.drop_table("migration_repairs", schema="memstore")
