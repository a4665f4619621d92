from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import check
from memstore.store.indexes import (
    IndexAction,
    IndexedTable,
    IndexForm,
    IndexMethod,
    IndexOptions,
    IndexSelection,
    IndexTarget,
    build_indexes,
    graph,
    index_status,
    rebuild_indexes,
)
from memstore.store.indexes.graph import CAREFUL, PLAIN, Graph
from tests.migrations.autogenerate.test_own_schema import check as alembic_check
from tests.store.indexes.vectors import MODEL, comments, fill, nearest

TARGETS = (
    IndexTarget(IndexedTable.MEMORY_NODES, 4),
    IndexTarget(IndexedTable.EPISODIC_MEMORIES, 4),
    IndexTarget(IndexedTable.EMBEDDINGS, 3, MODEL),
)
MEMORIES = TARGETS[0]
ONLY = IndexSelection((MEMORIES.table,))
HNSW = IndexForm(IndexMethod.HNSW, False)
AS_HNSW = IndexOptions(IndexMethod.HNSW, halfvec=False)
OPTIONS = text("SELECT reloptions FROM pg_class WHERE oid = to_regclass(:name)")
PLAIN_OPTIONS = ["m=16", "ef_construction=64"]
CAREFUL_OPTIONS = [f"m={CAREFUL.m}", f"ef_construction={CAREFUL.ef_construction}"]


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of 40 rows wants care here."""
    monkeypatch.setattr(graph, "CAREFUL_FROM", 40)


async def options_of(engine: AsyncEngine, target: IndexTarget = MEMORIES, form: IndexForm = HNSW) -> list[str]:
    async with engine.connect() as connection:
        found: list[str] = await connection.scalar(OPTIONS, {"name": f"memstore.{target.name(form)}"})
        return found


@pytest.mark.parametrize(("rows", "wanted"), [(39, PLAIN), (40, CAREFUL)])
@pytest.mark.parametrize("halfvec", [False, True])
async def test_a_graph_of_many_rows_is_built_with_more_care(
    engine: AsyncEngine, rows: int, wanted: Graph, halfvec: bool
) -> None:
    form = IndexForm(IndexMethod.HNSW, halfvec)
    for target in TARGETS:
        await fill(engine, target, rows)
    run = await build_indexes(engine, options=IndexOptions(form.method, halfvec))
    assert {f"hnsw was asked for, with {wanted}" in result.reason for result in run.results} == {True}
    for target in TARGETS:
        options = PLAIN_OPTIONS if wanted is PLAIN else CAREFUL_OPTIONS
        assert await options_of(engine, target, form) == options
        assert f"Index Scan using {target.name(form)}" in (await nearest(engine, target, form))[1]


async def test_one_of_less_care_than_its_rows_call_for_is_named_and_stays_until_a_rebuild(engine: AsyncEngine) -> None:
    await fill(engine, MEMORIES, 39)
    await build_indexes(engine, ONLY, AS_HNSW)
    (state,) = (await index_status(engine, ONLY)).targets[0].indexes
    assert (state.m, state.ef_construction, state.lists, state.stale) == (16, 64, None, None)
    await fill(engine, MEMORIES, 1, first=39)
    (state,) = (await index_status(engine, ONLY)).targets[0].indexes
    assert state.stale == f"its graph was built with m 16, ef_construction 64; {CAREFUL} suit 40 rows"
    (result,) = (await build_indexes(engine, ONLY, AS_HNSW)).results
    assert (result.action, await options_of(engine)) == (IndexAction.KEPT, PLAIN_OPTIONS)
    assert result.reason == f"there already, but {state.stale}. Type: memstore index rebuild"
    (result,) = (await rebuild_indexes(engine, ONLY)).results
    assert (result.action, result.reason) == (IndexAction.REBUILT, f"hnsw, as it was, now with {CAREFUL}")
    assert await options_of(engine) == CAREFUL_OPTIONS
    (state,) = (await index_status(engine, ONLY)).targets[0].indexes
    assert (state.m, state.ef_construction, state.stale) == (CAREFUL.m, CAREFUL.ef_construction, None)


async def test_a_rebuild_takes_no_care_away(engine: AsyncEngine) -> None:
    """Neither where there are few rows by now, nor where somebody wanted more than auto."""
    await fill(engine, MEMORIES, 20)
    name, by_hand = MEMORIES.name(HNSW), Graph(40, 90)
    async with engine.begin() as connection:
        create = f"CREATE INDEX {name} ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)"
        await connection.execute(text(f"{create} WITH (m = {by_hand.m}, ef_construction = {by_hand.ef_construction})"))
    (result,) = (await rebuild_indexes(engine, ONLY)).results
    assert result.reason == "hnsw, as it was"
    assert await options_of(engine) == ["m=40", "ef_construction=90"]
    await fill(engine, MEMORIES, 20, first=20)
    await rebuild_indexes(engine, ONLY)
    assert await options_of(engine) == ["m=40", f"ef_construction={CAREFUL.ef_construction}"]


async def test_one_that_says_nothing_has_the_numbers_of_pgvector(engine: AsyncEngine) -> None:
    await fill(engine, MEMORIES, 20)
    async with engine.begin() as connection:
        for name in ("by_hand", MEMORIES.name(HNSW)):
            await connection.execute(
                text(f"CREATE INDEX {name} ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)")
            )
    report = await index_status(engine, ONLY)
    found = (*report.targets[0].indexes, *report.others)
    assert [(each.name, each.m, each.ef_construction) for each in found] == [
        (MEMORIES.name(HNSW), 16, 64),
        ("by_hand", 16, 64),
    ]


async def test_care_is_no_drift_and_a_rebuild_from_sql_keeps_it(engine: AsyncEngine) -> None:
    await fill(engine, MEMORIES, 40)
    await build_indexes(engine, ONLY, AS_HNSW)
    async with engine.begin() as connection:
        done = await connection.execute(text("SELECT index_name, action FROM memstore.rebuild_vector_indexes()"))
        assert [tuple(row) for row in done] == [(MEMORIES.name(HNSW), "rebuilt")]
    assert await options_of(engine) == CAREFUL_OPTIONS
    assert (await comments(engine))[MEMORIES.name(HNSW)]["rows"] == 40
    assert (await check(engine)).differences == ()
    await alembic_check(engine)
