from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, AGENTS, INES, SESSION, Case, insert, walk

CASE = Case(
    revision="0004_memory_nodes",
    before=AGENTS,
    after=(
        insert(
            "memory_nodes",
            id="mem_1",
            user_id=INES,
            agent_id=AGENT,
            session_id=SESSION,
            key="hobby",
            content="Ines rows",
            embedding="[1,-2,3,4]",
            decay_tier="short",
        ),
    ),
    adds=("memory_nodes", "release_keys()"),
    answers=(
        (
            "SELECT search_vector::text, embedding_bits::text, (expiry - created_at)::text FROM memstore.memory_nodes",
            [("'ine':1 'row':2", "1011", "7 days")],
        ),
        ("UPDATE memstore.memory_nodes SET access_count = 1 RETURNING version", [(1,)]),
        ("UPDATE memstore.memory_nodes SET importance = 9 RETURNING version", [(2,)]),
        ("DELETE FROM memstore.agents RETURNING name", [("Guide",)]),
        (
            "SELECT agent_id, session_id, key, metadata FROM memstore.memory_nodes",
            [(None, None, None, {"released_key": "hobby"})],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
