from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.migrations import upgrade
from tests.migrations.revisions.case import EMBEDDING_DIM, INES, MEMORIES, PEOPLE, Case, insert, run, walk
from tests.tenants import NO_RIGHT, attempt, new_role

CASE = Case(
    revision="0023_hybrid_search",
    before=(*MEMORIES, insert("memory_nodes", id="near", content="a cup of tea", embedding="[1,2,3,4]")),
    after=(insert("memory_nodes", id="far", content="a cup of coffee", embedding="[4,3,2,1]"),),
    adds=(
        "begin_search()",
        "explain_memories()",
        "explain_search()",
        "hybrid_search()",
        "search_memories()",
    ),
    answers=(
        (
            f"SELECT id, found_by FROM memstore.hybrid_search('{INES}', 'which tea cups?', '[1,2,3,4]')",
            [("near", "both"), ("far", "both")],
        ),
        (f"SELECT id, score FROM memstore.hybrid_search('{INES}', NULL, '[2,4,6,8]', 1)", [("near", 1)]),
        (f"SELECT id FROM memstore.hybrid_search('{INES}', 'coffee')", [("far",)]),
        (f"SELECT memstore.explain_search('{INES}', 'coffee') ->> 'text_plan'", [("tenant",)]),
        (
            f"SELECT count(*) FROM jsonb_array_elements_text(memstore.explain_search('{INES}', 'coffee', '[4,3,2,1]')"
            " -> 'explain') AS line WHERE line LIKE 'Planning Time: %'",
            [(2,)],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)


@pytest.mark.parametrize(("granted", "found"), [("SELECT", 0), ("INSERT", NO_RIGHT)])
async def test_who_could_read_memories_before_can_search_after(
    empty_engine: AsyncEngine, granted: str, found: int | str
) -> None:
    await upgrade(empty_engine, "0017_closed_sessions_index", embedding_dim=EMBEDDING_DIM)
    await run(empty_engine, *PEOPLE)
    rights = ("GRANT USAGE ON SCHEMA memstore TO {role}", f"GRANT {granted} ON memstore.memory_nodes TO {{role}}")
    async with new_role(empty_engine, *rights) as role:
        await upgrade(empty_engine, CASE.revision)
        async with empty_engine.connect() as connection:
            grantees = await connection.scalars(
                text(
                    "SELECT DISTINCT grantee FROM information_schema.routine_privileges "
                    "WHERE routine_name IN ('search_memories', 'explain_memories', 'write_search_statistics')"
                )
            )
        assert (role in set(grantees)) is (granted == "SELECT")
        application = create_engine(empty_engine.url.set(username=role))
        assert await attempt(application, INES, f"SELECT FROM memstore.hybrid_search('{INES}', 'tea')") == found
        await application.dispose()
