"""Values for the rows that were there before the columns."""

from __future__ import annotations

from alembic import op

revision = "load_3_values"
down_revision = "load_2_columns"
level = "reversible"


def upgrade() -> None:
    op.backfill(
        "memory_nodes",
        {"load_score": "importance * 10", "load_group": "importance % 10"},
        where="load_score IS NULL",
        schema="memstore",
    )


def downgrade() -> None:
    op.backfill("memory_nodes", {"load_score": "90"}, where="load_score > 90", schema="memstore")
