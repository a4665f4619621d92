"""Two columns on a table in use: there at once, without a value in the rows that are there."""

from __future__ import annotations

from alembic import op

revision = "load_2_columns"
down_revision = "load_1_tables"
level = "reversible"


def upgrade() -> None:
    op.execute("ALTER TABLE memstore.memory_nodes ADD load_score int, ADD load_group int")
    op.execute("ALTER TABLE memstore.memory_nodes ALTER load_score SET DEFAULT 50, ALTER load_group SET DEFAULT 5")


def downgrade() -> None:
    op.execute("ALTER TABLE memstore.memory_nodes DROP load_score, DROP load_group")
