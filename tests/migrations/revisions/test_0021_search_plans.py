from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, MEMORIES, Case, insert, walk

CASE = Case(
    revision="0021_search_plans",
    before=MEMORIES,
    after=(insert("memory_nodes", id="after", content="a cup of tea", embedding="[1,2,3,4]"),),
    adds=(
        "choose_vector_plan()",
        "count_few()",
        "matching_rows()",
        "plan_search()",
        "planned_rows()",
        "search_scope()",
    ),
    answers=(
        ("SELECT plan FROM memstore.choose_vector_plan(100, 100, 1e6, 10, true, false)", [("exact",)]),
        ("SELECT plan FROM memstore.choose_vector_plan(1e6, 1e6, 1e6, 10, true, false)", [("index",)]),
        (f"SELECT memories, scope_rows FROM memstore.search_scope('{INES}', NULL)", [(3, 3)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
