from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import MEMORIES, Case, insert, walk

CASE = Case(
    revision="0020_vector_search",
    before=MEMORIES,
    after=(insert("memory_nodes", id="after", content="a cup of tea", embedding="[1,2,3,4]"),),
    adds=(
        "cosine_similarity()",
        "differing_bits()",
        "nearest_memories()",
        "rank_by_bits()",
        "rows_to_fetch()",
        "set_vector_plan()",
        "vector_index()",
        "vector_statement()",
        "walk_index()",
    ),
    answers=(
        ("SELECT memstore.cosine_similarity('[1,0,0,0]', '[2,0,0,0]')", [(1,)]),
        ("SELECT name FROM memstore.vector_index()", [(None,)]),
        ("SELECT memstore.rows_to_fetch(10)", [(20,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
