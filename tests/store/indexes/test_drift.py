from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import check
from memstore.store.indexes import IndexedTable, IndexOptions, IndexTarget, build_indexes
from tests.migrations.autogenerate.test_own_schema import check as alembic_check
from tests.store.indexes.vectors import FORMS, MODEL, fill, indexes

TARGETS = (
    IndexTarget(IndexedTable.MEMORY_NODES, 4),
    IndexTarget(IndexedTable.EPISODIC_MEMORIES, 4),
    IndexTarget(IndexedTable.EMBEDDINGS, 3, MODEL),
)


async def test_vector_indexes_are_no_drift(engine: AsyncEngine) -> None:
    """Neither for the catalog nor for autogenerate, and with what is written down beside them."""
    for target in TARGETS:
        await fill(engine, target, 20)
    for form in (FORMS[0], FORMS[3]):
        await build_indexes(engine, options=IndexOptions(form.method, form.halfvec))
        found = await check(engine)
        assert found.differences == ()
        assert set(found.vector_indexes) == {f"memstore.{name}" for name in await indexes(engine)}
        await alembic_check(engine)
