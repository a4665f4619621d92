"""Vectors of another width."""

from __future__ import annotations

from alembic import op

revision = "load_7_width"
down_revision = "load_6_code"
level = "reversible_with_archive"


def upgrade() -> None:
    op.change_embedding_width(
        "load_notes",
        "embedding",
        12,
        backfill="(embedding::float4[] || ARRAY[0, 0, 0, 0]::float4[])::vector",
        from_archive=True,
        schema="memstore",
    )


def downgrade() -> None:
    op.change_embedding_width(
        "load_notes",
        "embedding",
        8,
        backfill="subvector(embedding, 1, 8)",
        from_archive=True,
        schema="memstore",
    )
