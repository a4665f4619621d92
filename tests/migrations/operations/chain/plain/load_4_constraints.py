"""What holds for every row from now on, and an index for the foreign key, as Alembic writes it."""

from __future__ import annotations

from alembic import op

revision = "load_4_constraints"
down_revision = "load_3_values"

TABLE = "memory_nodes"


def upgrade() -> None:
    op.alter_column(TABLE, "load_score", nullable=False, schema="memstore")
    op.create_check_constraint("ck_load_score", TABLE, "load_score BETWEEN 0 AND 1000", schema="memstore")
    op.create_foreign_key(
        "fk_load_group",
        TABLE,
        "load_groups",
        ["load_group"],
        ["id"],
        source_schema="memstore",
        referent_schema="memstore",
    )
    op.create_index("ix_load_group", TABLE, ["load_group"], schema="memstore")
    op.create_unique_constraint("uq_load_id", TABLE, ["id", "tenant_id"], schema="memstore")


def downgrade() -> None:
    for name in ("uq_load_id", "fk_load_group", "ck_load_score"):
        op.drop_constraint(name, TABLE, schema="memstore")
    op.drop_index("ix_load_group", TABLE, schema="memstore")
    op.alter_column(TABLE, "load_score", nullable=True, schema="memstore")
