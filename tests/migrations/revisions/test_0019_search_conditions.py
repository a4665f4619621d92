from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import MEMORIES, Case, insert, walk

CASE = Case(
    revision="0019_search_conditions",
    before=MEMORIES,
    after=(insert("memory_nodes", id="after", content="a cup of tea", embedding="[1,2,3,4]"),),
    adds=(
        "check_filters()",
        "check_search()",
        "check_tenant()",
        "filter_values()",
        "search_conditions()",
        "vector_width()",
    ),
    answers=(
        ('SELECT memstore.filter_values(\'{"source": ["a", "b"]}\', \'source\')', [(["a", "b"],)]),
        ("SELECT memstore.search_conditions('{}', NULL) LIKE 'm.tenant_id = $1%'", [(True,)]),
        ("SELECT memstore.vector_width('[1,2,3]')", [(3,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
