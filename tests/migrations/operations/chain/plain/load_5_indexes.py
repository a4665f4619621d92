"""One index built, and one exchanged for another, as Alembic writes it."""

from __future__ import annotations

from alembic import op

revision = "load_5_indexes"
down_revision = "load_4_constraints"

TABLE = "memory_nodes"


def upgrade() -> None:
    op.create_index("ix_load_score", TABLE, ["tenant_id", "load_score"], schema="memstore")
    op.drop_index("ix_load_group", TABLE, schema="memstore")
    op.create_index("ix_load_group", TABLE, ["load_group", "importance"], schema="memstore")


def downgrade() -> None:
    op.drop_index("ix_load_group", TABLE, schema="memstore")
    op.create_index("ix_load_group", TABLE, ["load_group"], schema="memstore")
    op.drop_index("ix_load_score", TABLE, schema="memstore")
