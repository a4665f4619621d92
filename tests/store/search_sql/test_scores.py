from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.store.search_sql.conftest import FEW
from tests.store.search_sql.memories import TENANT, Memory, expected, insert, same, search

NORTH = np.array([0.3, -1.0, 2.0, 0.1])
QUESTIONS: dict[str, tuple[str, ...]] = {
    "tea": ("tea",),
    "Where is the opal moth?": ("opal", "moth"),
    "tea tea tea and a wolf": ("tea", "wolf"),
    "unheard lamp": ("unheard", "lamp"),
    "unheard": ("unheard",),
}


async def test_a_vector_finds_the_nearest_by_cosine(few: AsyncEngine) -> None:
    for limit in (1, 10, 1000):
        assert same(await search(few, query_embedding=NORTH, match_count=limit), expected(FEW, (), NORTH, limit=limit))


@pytest.mark.parametrize("question", QUESTIONS)
async def test_words_find_by_the_share_of_rare_words(few: AsyncEngine, question: str) -> None:
    for limit in (3, 1000):
        found = await search(few, query_text=question, match_count=limit)
        assert same(found, expected(FEW, QUESTIONS[question], limit=limit))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("weights", [(0.7, 0.3), (0.0, 1.0), (2.0, 0.0), (3.0, 7.0)])
async def test_both_are_added_by_their_weights(few: AsyncEngine, question: str, weights: tuple[float, float]) -> None:
    for limit in (5, 20, 100):
        arguments = {"vector_weight": weights[0], "text_weight": weights[1], "match_count": limit}
        found = await search(few, query_text=question, query_embedding=NORTH, **arguments)
        assert same(found, expected(FEW, QUESTIONS[question], NORTH, limit=limit, weights=weights))


@pytest.mark.parametrize("nothing", ["", "the of and", "?!", "  "])
async def test_a_text_without_words_leaves_it_to_the_vector(few: AsyncEngine, nothing: str) -> None:
    found = await search(few, query_text=nothing, query_embedding=NORTH)
    alone = await search(few, query_embedding=NORTH)
    assert found == [(id_, (1 + score) / 2, score, None, side) for id_, score, _, _, side in alone]
    assert await search(few, query_text=nothing) == []


async def test_scores_below_the_least_are_left_out(few: AsyncEngine) -> None:
    for arguments in ({"query_embedding": NORTH}, {"query_text": "opal tea"}):
        rows = await search(few, **arguments, match_count=1000)
        least = rows[4][1]
        assert await search(few, **arguments, match_count=1000, min_score=least) == [r for r in rows if r[1] >= least]
    both = await search(few, query_text="opal tea", query_embedding=NORTH)
    assert await search(few, query_text="opal tea", query_embedding=NORTH, min_score=both[2][1]) == both[:3]
    assert await search(few, query_embedding=NORTH, min_score=2.0) == []


async def test_equal_scores_are_ordered_by_id(engine: AsyncEngine) -> None:
    twins = [Memory(id_, ("tea",), np.ones(4, dtype=np.float32)) for id_ in ("b", "B", "a", "é", "A1", "10", "9")]
    await insert(engine, twins)
    in_order = ["10", "9", "A1", "B", "a", "b", "é"]
    for arguments in ({"query_embedding": np.ones(4)}, {"query_text": "tea"}):
        for plan in ("exact", "bits"):
            found = await search(engine, **arguments, plan=plan)
            assert [row[0] for row in found] == in_order
    assert [row[0] for row in await search(engine, query_text="tea", query_embedding=np.ones(4))] == in_order


async def test_deleted_memories_do_not_count_and_expired_ones_do(engine: AsyncEngine) -> None:
    gone, past = {"deleted_at": "2026-01-01T00:00:00Z"}, {"expires_at": "2020-01-01T00:00:00Z"}
    made = [
        Memory(
            f"m{number}", ("tea",) + ("opal",) * (number % 2), np.array([1, number, 0, 0], dtype=np.float32), columns
        )
        for number, columns in enumerate([{}, {}, gone, gone, past, past])
    ]
    await insert(engine, made)
    for deleted in (False, True):
        for late in (False, True):
            rows = await search(
                engine, query_text="opal tea", filters={"include_deleted": deleted, "include_expired": late}
            )

            def inside(memory: Memory, deleted: bool = deleted, late: bool = late) -> bool:
                return (deleted or memory.columns != gone) and (late or memory.columns != past)

            wanted = expected(made, ("opal", "tea"), inside=inside, live=lambda memory: memory.columns != gone)
            assert same(rows, wanted), (deleted, late)
            near = await search(
                engine, query_embedding=[1, 5, 0, 0], filters={"include_deleted": deleted, "include_expired": late}
            )
            assert {row[0] for row in near} == {row[0] for row in wanted}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing asked": ({}, "neither query_text nor query_embedding"),
    "another width": ({"query_embedding": [1, 2]}, "different vector dimensions: query_embedding has 2.*have 4"),
    "zero": ({"query_embedding": [0, 0, 0, 0]}, "no cosine"),
    "too small": ({"query_embedding": [1e-30, 0, 0, 0]}, "no cosine"),
    "NaN": ({"query_embedding": "[NaN,1,2,3]"}, "NaN not allowed in vector"),
    "none wanted": ({"query_text": "x", "match_count": 0}, "match_count is 0, needed: 1 to 1000"),
    "too many wanted": ({"query_text": "x", "match_count": 1001}, "match_count is 1001"),
    "no count": ({"query_text": "x", "match_count": None}, "match_count is NULL"),
    "negative": ({"query_text": "x", "vector_weight": -0.1}, "vector_weight is -0.1"),
    "no weight": ({"query_text": "x", "vector_weight": 0.0, "text_weight": 0.0}, "not both 0"),
    "not a weight": ({"query_text": "x", "text_weight": float("nan")}, "text_weight is NaN"),
    "endless": ({"query_text": "x", "text_weight": float("inf")}, "text_weight is Infinity"),
    "NULL weight": ({"query_text": "x", "text_weight": None}, "text_weight is NULL"),
    "no least score": ({"query_text": "x", "min_score": float("nan")}, "min_score is NaN"),
    "unknown plan": ({"query_text": "x", "plan": "fast"}, "there is no plan 'fast'"),
    "NULL plan": ({"query_text": "x", "plan": None}, "there is no plan NULL"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_arguments_are_refused(few: AsyncEngine, case: str) -> None:
    arguments, message = BAD[case]
    with pytest.raises(DBAPIError, match=message):
        await search(few, tenant=TENANT, **arguments)
