"""Vectors of another width, in one statement."""

from __future__ import annotations

from alembic import op

revision = "load_7_width"
down_revision = "load_6_code"

ALTER = "ALTER TABLE memstore.load_notes ALTER embedding TYPE vector({}) USING {}"


def upgrade() -> None:
    op.execute(ALTER.format(12, "(embedding::float4[] || ARRAY[0, 0, 0, 0]::float4[])::vector"))


def downgrade() -> None:
    op.execute(ALTER.format(8, "subvector(embedding, 1, 8)"))
