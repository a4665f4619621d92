from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import SettingsError
from memstore.store.indexes import (
    IndexAction,
    IndexedTable,
    IndexForm,
    IndexMethod,
    IndexOptions,
    IndexSelection,
    IndexTarget,
    build_indexes,
    index_status,
)
from tests.store.indexes.vectors import FORMS, fill, indexes, nearest

PLAIN, HALF = (False, True), (True,)


@pytest.mark.parametrize(
    ("width", "precisions"), [(3, PLAIN), (1_024, PLAIN), (2_000, PLAIN), (2_001, HALF), (4_000, HALF), (4_001, ())]
)
async def test_a_model_of_that_width(engine: AsyncEngine, width: int, precisions: tuple[bool, ...]) -> None:
    """Each method and precision that there is at that width is built and used; others are refused."""
    target = IndexTarget(IndexedTable.EMBEDDINGS, width, f"model-{width}")
    selection = IndexSelection(model=target.model)
    await fill(engine, target, 24)
    exact = (await nearest(engine, target, None))[0]
    for form in FORMS:
        options = IndexOptions(form.method, form.halfvec)
        if form.halfvec in precisions:
            await build_indexes(engine, selection, options)
            found, plan = await nearest(engine, target, form)
            assert f"Index Scan using {target.name(form)}" in plan
            assert found == exact, form
            assert await indexes(engine) == {target.name(form): True}
        else:
            with pytest.raises(SettingsError, match=f"{width:,} dimensions are more than"):
                await build_indexes(engine, selection, options)
    done = await build_indexes(engine, selection, IndexOptions(IndexMethod.NONE))
    assert done.count(IndexAction.DROPPED) == bool(precisions)
    assert (await nearest(engine, target, None))[0] == exact


async def test_each_model_has_an_index_of_its_own(engine: AsyncEngine) -> None:
    wide, narrow = (IndexTarget(IndexedTable.EMBEDDINGS, width, f"model of {width}") for width in (64, 8))
    for target in (wide, narrow):
        await fill(engine, target, 24)
    form = IndexForm(IndexMethod.HNSW, True)
    await build_indexes(engine, IndexSelection((IndexedTable.EMBEDDINGS,)), IndexOptions(form.method, form.halfvec))
    assert await indexes(engine) == {wide.name(form): True, narrow.name(form): True}
    report = await index_status(engine, IndexSelection((IndexedTable.EMBEDDINGS,)))
    assert [(each.model, each.rows, each.indexes[0].rows_at_build) for each in report.targets] == [
        (wide.model, 24, 24),
        (narrow.model, 24, 24),
    ]


def test_names_are_short_and_differ() -> None:
    names = [
        IndexTarget(IndexedTable.EMBEDDINGS, 8, model).name(form) for model in ("a", "b", "x" * 100) for form in FORMS
    ]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 63 - len("_ccnew99")
    assert names[0] == "ix_embeddings_hnsw_ca978112ca1b"
