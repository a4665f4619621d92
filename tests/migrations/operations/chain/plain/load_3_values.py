"""Values for the rows that were there before the columns, in one statement."""

from __future__ import annotations

from alembic import op

revision = "load_3_values"
down_revision = "load_2_columns"


def upgrade() -> None:
    op.execute("UPDATE memstore.memory_nodes SET load_score = importance * 10, load_group = importance % 10")


def downgrade() -> None:
    op.execute("UPDATE memstore.memory_nodes SET load_score = 90 WHERE load_score > 90")
