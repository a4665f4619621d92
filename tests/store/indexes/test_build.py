from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import EmbeddingModelError, PermissionDeniedError, SettingsError
from memstore.migrations import index_builder
from memstore.settings import Settings
from memstore.store.indexes import (
    IndexAction,
    IndexedTable,
    IndexForm,
    IndexMethod,
    IndexOptions,
    IndexSelection,
    IndexTarget,
    build_indexes,
    decision,
    drop_indexes,
    index_status,
    rebuild_indexes,
)
from tests.store.indexes.vectors import FORMS, MODEL, OTHER, comments, fill, indexes, nearest
from tests.tenants import as_application

TARGETS = (
    IndexTarget(IndexedTable.MEMORY_NODES, 4),
    IndexTarget(IndexedTable.EPISODIC_MEMORIES, 4),
    IndexTarget(IndexedTable.EMBEDDINGS, 3, MODEL),
)
MEMORIES = TARGETS[0]
HNSW, HALF = IndexForm(IndexMethod.HNSW, False), IndexForm(IndexMethod.HNSW, True)
IVFFLAT = IndexForm(IndexMethod.IVFFLAT, False)


def as_(form: IndexForm) -> IndexOptions:
    return IndexOptions(form.method, form.halfvec)


async def test_each_method_and_precision_is_built_used_and_replaced(engine: AsyncEngine) -> None:
    """One after the other: each takes the place of the one before it."""
    for target in TARGETS:
        await fill(engine, target, 40)
    exact = {target: (await nearest(engine, target, None))[0] for target in TARGETS}
    for form in FORMS:
        run = await build_indexes(engine, options=as_(form))
        assert run.count(IndexAction.BUILT) == 3
        assert await indexes(engine) == {target.name(form): True for target in TARGETS}
        for target in TARGETS:
            found, plan = await nearest(engine, target, form)
            assert f"Index Scan using {target.name(form)}" in plan
            assert found == exact[target], form
        assert {written["rows"] for written in (await comments(engine)).values()} == {40}
        again = await build_indexes(engine, options=as_(form))
        assert [result.action for result in again.results] == [IndexAction.KEPT] * 3
    done = await drop_indexes(engine)
    assert done.count(IndexAction.DROPPED) == 3
    assert await indexes(engine) == {}


async def test_auto_builds_for_the_largest_tenant_and_keeps_what_serves(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(decision.EXACT_BELOW, MEMORIES.table, 2_100)
    only = IndexSelection((MEMORIES.table,))
    await fill(engine, MEMORIES, 2_099)
    await fill(engine, MEMORIES, 2_001, OTHER)
    (result,) = (await build_indexes(engine, only)).results
    assert (result.action, result.index, result.rows) == (IndexAction.NONE, None, 4_100)
    await fill(engine, MEMORIES, 1, first=2_099)
    run = await build_indexes(engine, only)
    (result,) = run.results
    assert (result.action, result.index, run.tenants_refreshed) == (IndexAction.BUILT, MEMORIES.name(HALF), 2)
    assert "halfvec, since half precision finds" in result.reason
    async with engine.connect() as connection:
        counted = await connection.execute(text("SELECT memories FROM memstore.search_statistics ORDER BY 1"))
        assert [row.memories for row in counted] == [2_001, 2_100]
        # COPY leaves some empty pages at the end.
        seen = text("SELECT relallvisible > 0.9 * relpages FROM pg_class WHERE oid = 'memstore.memory_nodes'::regclass")
        assert await connection.scalar(seen) is True
    for options, kept in ((as_(HNSW), HNSW), (IndexOptions(), HNSW), (IndexOptions(memory="1MB"), HNSW)):
        await build_indexes(engine, only, options)
        assert await indexes(engine) == {MEMORIES.name(kept): True}, "an HNSW index that is there is not given up"
    await build_indexes(engine, only, IndexOptions(IndexMethod.NONE))
    assert await indexes(engine) == {}
    run = await build_indexes(engine, only, IndexOptions(memory="1MB", halfvec=True))
    assert await indexes(engine) == {MEMORIES.name(IndexForm(IndexMethod.IVFFLAT, True)): True}
    assert "it may use 1 MB (--memory)" in run.results[0].reason


async def test_one_that_is_stale_is_built_anew_with_as_many_lists_as_suit(engine: AsyncEngine) -> None:
    selection = IndexSelection((MEMORIES.table,))
    await fill(engine, MEMORIES, 1_000)
    await build_indexes(engine, selection, as_(IVFFLAT))
    await fill(engine, MEMORIES, 9_000, first=1_000)
    (state,) = (await index_status(engine, selection)).targets[0].indexes
    assert (state.lists, state.rows_at_build) == (1, 1_000)
    assert state.stale == "its lists were made of 1,000 rows, now there are 10,000"
    run = await build_indexes(engine, selection, as_(IVFFLAT))
    assert [result.action for result in run.results] == [IndexAction.REBUILT]
    (state,) = (await index_status(engine, selection)).targets[0].indexes
    assert (state.lists, state.rows_at_build, state.stale) == (10, 10_000, None)
    assert await indexes(engine) == {MEMORIES.name(IVFFLAT): True}


async def test_rebuild_makes_anew_what_is_there(engine: AsyncEngine) -> None:
    nothing = await rebuild_indexes(engine)
    assert {result.action for result in nothing.results} == {IndexAction.NONE}
    await fill(engine, MEMORIES, 40)
    await build_indexes(engine, IndexSelection((MEMORIES.table,)), as_(HALF))
    file = text(f"SELECT pg_relation_filenode('memstore.{MEMORIES.name(HALF)}')")
    async with engine.connect() as connection:
        before = await connection.scalar(file)
    await rebuild_indexes(engine)
    assert await indexes(engine) == {MEMORIES.name(HALF): True}
    async with engine.connect() as connection:
        assert await connection.scalar(file) != before
    await rebuild_indexes(engine, options=IndexOptions(halfvec=False))
    assert await indexes(engine) == {MEMORIES.name(HNSW): True}


async def test_indexes_made_by_hand_are_shown_and_left_alone(engine: AsyncEngine) -> None:
    await fill(engine, MEMORIES, 40)
    async with engine.begin() as connection:
        for name, operators in (("by_hand", "vector_cosine_ops"), (MEMORIES.name(HNSW), "vector_l2_ops")):
            statement = f"CREATE INDEX {name} ON memstore.memory_nodes USING hnsw (embedding {operators})"
            await connection.execute(text(statement))
    report = await index_status(engine)
    assert [(each.name, each.ours) for each in report.others] == [("by_hand", False)]
    assert [(each.name, each.by_cosine) for each in report.targets[0].indexes] == [(MEMORIES.name(HNSW), False)]
    run = await build_indexes(engine, IndexSelection((MEMORIES.table,)), as_(HNSW))
    assert run.results[0].action is IndexAction.REBUILT, "one of its name that no search could use"
    assert "Index Scan" in (await nearest(engine, MEMORIES, HNSW))[1]
    await drop_indexes(engine)
    assert await indexes(engine) == {"by_hand": True}


async def test_what_killed_runs_left_is_cleaned(engine: AsyncEngine) -> None:
    await fill(engine, MEMORIES, 40)
    name = MEMORIES.name(HNSW)
    left = [f"{name}_new", f"{name}_old", f"{name}_ccnew", f"{name}_ccold1", MEMORIES.name(HALF)]
    async with engine.begin() as connection:
        for each in (name, *left):
            key = "(embedding::halfvec(4)) halfvec_cosine_ops" if each == left[-1] else "embedding vector_cosine_ops"
            await connection.execute(
                text(f"CREATE INDEX {each} ON memstore.memory_nodes USING hnsw ({key})".replace(":", r"\:"))
            )
        invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = ANY (CAST(:names AS regclass[]))"
        await connection.execute(text(invalid), {"names": [f"memstore.{each}" for each in left[1:]]})
    report = await index_status(engine)
    assert {each.name: each.valid for each in report.targets[0].indexes} == {
        name: True,
        left[0]: True,
        **dict.fromkeys(left[1:], False),
    }
    run = await build_indexes(engine, IndexSelection((MEMORIES.table,)), as_(HNSW))
    assert {result.index: result.action for result in run.results} == {
        name: IndexAction.KEPT,
        **dict.fromkeys(left, IndexAction.DROPPED),
    }
    assert await indexes(engine) == {name: True}


async def test_a_build_goes_on_without_workers_where_shared_memory_is_short(engine: AsyncEngine) -> None:
    """A container has 64 MB of it unless told otherwise; here more is asked for than there can be."""
    await fill(engine, MEMORIES, 40)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE memstore.memory_nodes SET (parallel_workers = 2)"))
    said: list[str] = []
    settings = Settings(maintenance_work_mem="1TB")
    async with index_builder(engine, settings, lambda progress: said.append(progress.phase)) as builder:
        await builder.build(MEMORIES.index(HNSW, "public"))
    assert "too little shared memory for parallel workers, building without them" in said
    assert await indexes(engine) == {MEMORIES.name(HNSW): True}


async def test_only_the_owner_of_the_tables_may(seeded: AsyncEngine) -> None:
    async with as_application(seeded) as application:
        for act in (build_indexes, rebuild_indexes, drop_indexes):
            with pytest.raises(PermissionDeniedError, match="does not own the tables.*Connect as: postgres"):
                await act(application)
        with pytest.raises(PermissionDeniedError, match="confined to one tenant at a time"):
            await index_status(application)


async def test_what_cannot_be_is_refused(engine: AsyncEngine) -> None:
    await fill(engine, TARGETS[2], 1)
    with pytest.raises(EmbeddingModelError, match="no embedding model 'x'. Registered: it's a model:v1.5"):
        await build_indexes(engine, IndexSelection(model="x"))
    with pytest.raises(SettingsError, match="only embeddings has models"):
        IndexSelection((IndexedTable.MEMORY_NODES,), "x")
    with pytest.raises(SettingsError, match="--memory: '1 pound' is no amount of memory"):
        await build_indexes(engine, options=IndexOptions(memory="1 pound"))
    with pytest.raises(SettingsError, match="4 dimensions need .* --memory .*MB, or --method hnsw"):
        await build_indexes(engine, options=IndexOptions(IndexMethod.IVFFLAT, memory="64kB"))


async def test_what_is_too_wide_for_any_index_keeps_no_other_from_one(engine: AsyncEngine) -> None:
    wide = IndexTarget(IndexedTable.EMBEDDINGS, 4_001, "a wide model")
    for target in (wide, TARGETS[2]):
        await fill(engine, target, 3)
    run = await build_indexes(engine, IndexSelection((IndexedTable.EMBEDDINGS,)), as_(HNSW))
    assert {result.model: result.action for result in run.results} == {
        wide.model: IndexAction.NONE,
        TARGETS[2].model: IndexAction.BUILT,
    }
    with pytest.raises(SettingsError, match="embeddings of a wide model: 4,001 dimensions are more than"):
        await build_indexes(engine, IndexSelection(model=wide.model), as_(HNSW))


async def test_nothing_is_built_where_one_of_all_cannot_be(engine: AsyncEngine) -> None:
    wide = IndexTarget(IndexedTable.EMBEDDINGS, 2_001, "a wide model")
    for target in (MEMORIES, wide):
        await fill(engine, target, 3)
    with pytest.raises(SettingsError, match="embeddings of a wide model: 2,001 dimensions .* Leave out --no-halfvec"):
        await build_indexes(engine, options=as_(HNSW))
    assert await indexes(engine) == {}


async def test_status_says_what_a_build_would_do(engine: AsyncEngine) -> None:
    selection = IndexSelection((MEMORIES.table,))
    await fill(engine, MEMORIES, 40)
    for before, would in ((None, IndexAction.NONE), (HNSW, IndexAction.KEPT)):
        if before is not None:
            await build_indexes(engine, selection, as_(before))
        (target,) = (await index_status(engine, selection)).targets
        assert (target.auto, target.build) == ("none", would)
        run = await build_indexes(engine, selection)
        assert [result.action for result in run.results] == [would]


async def test_the_indexes_of_other_models_are_not_taken_for_somebody_elses(engine: AsyncEngine) -> None:
    other = IndexTarget(IndexedTable.EMBEDDINGS, 8, "other")
    for target in (TARGETS[2], other):
        await fill(engine, target, 3)
    await build_indexes(engine, options=as_(HNSW))
    report = await index_status(engine, IndexSelection(model="other"))
    assert [index.name for target in report.targets for index in target.indexes] == [other.name(HNSW)]
    assert report.others == ()


async def test_a_rebuild_says_that_it_is_as_it_was(engine: AsyncEngine) -> None:
    selection = IndexSelection((MEMORIES.table,))
    await fill(engine, MEMORIES, 40)
    await build_indexes(engine, selection, as_(IVFFLAT))
    for options, reason in (
        (IndexOptions(), "ivfflat, as it was, now 1 lists"),
        (IndexOptions(halfvec=True), "ivfflat, as it was, now 1 lists; halfvec was asked for"),
        (
            IndexOptions(HNSW.method, halfvec=False),
            "hnsw was asked for, with m 16, ef_construction 64; full precision was asked for",
        ),
        (IndexOptions(), "hnsw, as it was"),
    ):
        assert (await rebuild_indexes(engine, selection, options)).results[0].reason == reason
