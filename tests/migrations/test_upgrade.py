from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from memstore.migrations import downgrade, upgrade
from memstore.migrations.scripts import revisions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


async def test_upgrade_applies_each_revision_once(empty_engine: AsyncEngine) -> None:
    first = await upgrade(empty_engine, embedding_dim=8)
    second = await upgrade(empty_engine)
    assert tuple(step.revision for step in first.steps) == revisions()
    assert second.steps == ()


async def test_downgrade_to_base_leaves_nothing_but_the_extension(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine)
    await downgrade(empty_engine, "base")
    async with empty_engine.connect() as connection:
        schemas = await connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"))
        assert sorted(schemas) == ["information_schema", "public"]
        extensions = await connection.scalars(text("SELECT extname FROM pg_extension"))
        assert sorted(extensions) == ["plpgsql", "vector"]
