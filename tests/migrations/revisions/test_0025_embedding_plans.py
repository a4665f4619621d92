from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import upgrade
from tests.migrations.revisions.case import EMBEDDING_DIM, INES, PEOPLE, Case, insert, walk
from tests.tenants import new_role

PLAN = f"SELECT plan, candidates, index_name FROM memstore.plan_embedding_search('{INES}', 'm', 10, NULL, NULL"
CASE = Case(
    revision="0025_embedding_plans",
    before=(*PEOPLE, insert("embedding_models", name="m", dimensions=2)),
    after=(insert("embedding_models", name="wide", dimensions=3),),
    adds=(
        "embedding_index()",
        "embedding_rows()",
        "embedding_search_plan()",
        "plan_embedding_search()",
    ),
    answers=(
        ("SELECT name FROM memstore.embedding_index('m')", [(None,)]),
        ("SELECT memstore.embedding_search_plan('auto', 100000, 100000, 40)", [("index",)]),
        (f"{PLAN}, 'auto', false)", [("exact", 40, None)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)


async def test_who_could_read_embeddings_before_may_search_them_after_and_nobody_else(
    empty_engine: AsyncEngine,
) -> None:
    await upgrade(empty_engine, CASE.below, embedding_dim=EMBEDDING_DIM)
    async with new_role(empty_engine, "GRANT SELECT ON memstore.embeddings TO {role}") as role:
        await upgrade(empty_engine, CASE.revision)
        may = """
            SELECT proname, has_function_privilege(:role, oid, 'EXECUTE'),
                   has_function_privilege('public', oid, 'EXECUTE')
            FROM pg_proc WHERE prosecdef AND proname LIKE 'embedding%' ORDER BY proname
        """
        async with empty_engine.connect() as connection:
            found = [tuple(row) for row in await connection.execute(text(may), {"role": role})]
        assert found == [("embedding_rows", True, False)]
