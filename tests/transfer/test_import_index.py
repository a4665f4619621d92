from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import index_builder
from memstore.settings import Settings
from memstore.store.indexes import (
    IndexAction,
    IndexedTable,
    IndexForm,
    IndexHandling,
    IndexMethod,
    IndexOptions,
    IndexSelection,
    IndexTarget,
    build_indexes,
    decision,
    drop_indexes,
    loading,
)
from memstore.transfer import ImportResult, import_corpus
from tests.store.indexes.vectors import TENANT, fill, indexes
from tests.tenants import ACME, as_application
from tests.transfer.corpora import make_nodes, write_corpus

MEMORIES = IndexTarget(IndexedTable.MEMORY_NODES, 4)
FULL, HALF = (IndexForm(IndexMethod.HNSW, half) for half in (False, True))
STATISTICS = text("SELECT memories FROM memstore.search_statistics WHERE tenant_id = :tenant")
Import = Callable[..., Coroutine[Any, Any, ImportResult]]


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 40 rows are a large load here, and 30 are enough for an index."""
    monkeypatch.setattr(loading, "LARGE_LOAD", 40)
    monkeypatch.setattr(loading, "VACUUM_FROM", 20)
    monkeypatch.setitem(decision.EXACT_BELOW, IndexedTable.MEMORY_NODES, 30)
    monkeypatch.setitem(decision.WALKED, IndexedTable.MEMORY_NODES, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", make_nodes(60))


async def indexed(engine: AsyncEngine, rows: int) -> int:
    """Add so many rows and build an index over them. Return the file it is in."""
    await fill(engine, MEMORIES, rows)
    options = IndexOptions(IndexMethod.HNSW, halfvec=False)
    await build_indexes(engine, IndexSelection((MEMORIES.table,)), options)
    return await file_of(engine)


async def file_of(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        file: int = await connection.scalar(text(f"SELECT pg_relation_filenode('memstore.{MEMORIES.name(FULL)}')"))
        return file


async def test_a_large_import_drops_the_index_and_builds_it_after(engine: AsyncEngine, folder: Path) -> None:
    await indexed(engine, 59)
    result = await import_corpus(engine, folder, tenant_id=TENANT)
    assert (result.inserted, result.index.dropped, result.index.built, result.index.note) == (60, 1, 1, None)
    assert await indexes(engine) == {MEMORIES.name(HALF): True}, "the one that is right by now"
    async with engine.connect() as connection:
        assert await connection.scalar(STATISTICS, {"tenant": TENANT}) == 119
        seen = text("SELECT relallvisible > 0 FROM pg_class WHERE oid = 'memstore.memory_nodes'::regclass")
        assert await connection.scalar(seen) is True


@pytest.mark.parametrize(
    ("there", "handling"), [(60, IndexHandling.AUTO), (10, IndexHandling.KEEP), (10, IndexHandling.LEAVE)]
)
async def test_others_load_into_the_one_that_is_there(
    engine: AsyncEngine, folder: Path, there: int, handling: IndexHandling
) -> None:
    file = await indexed(engine, there)
    result = await import_corpus(engine, folder, tenant_id=TENANT, index=handling)
    assert (result.index.dropped, result.index.built, result.index.note) == (0, 0, None)
    assert await file_of(engine) == file
    async with engine.connect() as connection:
        assert await connection.scalar(STATISTICS, {"tenant": TENANT}) == there + 60


async def test_a_small_import_loads_into_the_one_that_is_there(engine: AsyncEngine, tmp_path: Path) -> None:
    file = await indexed(engine, 10)
    result = await import_corpus(engine, write_corpus(tmp_path, make_nodes(40)), tenant_id=TENANT)
    assert (result.inserted, result.index.dropped, result.index.built) == (40, 0, 0)
    assert await file_of(engine) == file


@pytest.mark.parametrize("handling", IndexHandling)
async def test_what_is_missing_is_built_unless_it_is_to_be_left(
    engine: AsyncEngine, folder: Path, handling: IndexHandling
) -> None:
    await fill(engine, MEMORIES, 1)
    dry = await import_corpus(engine, folder, tenant_id=TENANT, index=handling, dry_run=True)
    assert (dry.index.built, await indexes(engine)) == (0, {})
    result = await import_corpus(engine, folder, tenant_id=TENANT, index=handling)
    wanted = handling is not IndexHandling.LEAVE
    assert (result.index.dropped, result.index.built) == (0, int(wanted))
    assert await indexes(engine) == ({MEMORIES.name(HALF): True} if wanted else {})


async def test_what_a_killed_import_had_dropped_is_built_by_the_next(engine: AsyncEngine, folder: Path) -> None:
    await indexed(engine, 10)
    done = await drop_indexes(engine, IndexSelection((MEMORIES.table,)))
    assert done.count(IndexAction.DROPPED) == 1
    await import_corpus(engine, folder, tenant_id=TENANT, index=IndexHandling.LEAVE)
    again = await import_corpus(engine, folder, tenant_id=TENANT)
    assert (again.inserted, again.index.built) == (0, 1)


async def test_who_does_not_own_the_tables_is_told_what_to_type(seeded: AsyncEngine, folder: Path) -> None:
    async with as_application(seeded) as application:
        result = await import_corpus(application, folder, tenant_id=ACME)
    assert (result.inserted, result.index.dropped, result.index.built) == (60, 0, 0)
    assert result.index.note == (
        "no vector index was built, since this role does not own the tables. Type, as the owner of the tables: "
        "memstore index build --table memory_nodes"
    )
    async with seeded.connect() as connection:
        assert await connection.scalar(STATISTICS, {"tenant": ACME}) == 62


async def test_an_import_does_not_fail_for_its_index(
    engine: AsyncEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSTORE_MIGRATION_WAIT_S", "0")
    file = await indexed(engine, 10)
    async with index_builder(engine, Settings()):
        result = await import_corpus(engine, folder, tenant_id=TENANT)
    assert (result.inserted, result.index.dropped, result.index.built) == (60, 0, 0)
    assert "the vector index was not built: no migration lock within 0 s" in (result.index.note or "")
    assert await file_of(engine) == file
