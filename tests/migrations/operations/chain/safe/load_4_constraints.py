"""What holds for every row from now on, and an index for the foreign key."""

from __future__ import annotations

from alembic import op

revision = "load_4_constraints"
down_revision = "load_3_values"
level = "reversible"

TABLE = "memory_nodes"


def upgrade() -> None:
    op.set_not_null_safely(TABLE, "load_score", schema="memstore")
    op.add_check_safely("ck_load_score", TABLE, "load_score BETWEEN 0 AND 1000", schema="memstore")
    op.add_foreign_key_safely(
        "fk_load_group",
        TABLE,
        "load_groups",
        ["load_group"],
        ["id"],
        source_schema="memstore",
        referent_schema="memstore",
    )
    op.create_index_concurrently("ix_load_group", TABLE, ["load_group"], schema="memstore")
    op.add_unique_safely("uq_load_id", TABLE, ["id", "tenant_id"], schema="memstore")


def downgrade() -> None:
    for name in ("uq_load_id", "fk_load_group", "ck_load_score"):
        op.drop_constraint_safely(name, TABLE, schema="memstore")
    op.drop_index_concurrently("ix_load_group", TABLE, schema="memstore")
    op.drop_not_null_safely(TABLE, "load_score", schema="memstore")
