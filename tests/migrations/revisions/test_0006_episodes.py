from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, MEMORIES, Case, insert, walk

EPISODE = """
    SELECT position, content, title FROM memstore.episode_nodes
    JOIN memstore.memory_nodes AS m ON m.id = node_id JOIN memstore.episodic_memories AS e ON e.id = episode_id
    ORDER BY position
"""

CASE = Case(
    revision="0006_episodes",
    before=MEMORIES,
    after=(
        insert("episodic_memories", id="monday", user_id=INES, title="Monday", embedding="[1,2,3,4]"),
        insert("episode_nodes", episode_id="monday", node_id="mem_2", position=0),
        insert("episode_nodes", episode_id="monday", node_id="mem_1", position=1),
        insert("memory_relationships", source_id="mem_2", target_id="mem_1", relationship_type="supersedes"),
    ),
    adds=("episode_nodes", "episodic_memories", "memory_relationships"),
    answers=(
        (EPISODE, [(0, "memory 2", "Monday"), (1, "memory 1", "Monday")]),
        ("SELECT source_id, target_id, confidence FROM memstore.memory_relationships", [("mem_2", "mem_1", 1)]),
        ("UPDATE memstore.episodic_memories SET access_count = 1 RETURNING version", [(1,)]),
        ("UPDATE memstore.episodic_memories SET summary = 'short' RETURNING version", [(2,)]),
        ("DELETE FROM memstore.memory_nodes WHERE id = 'mem_1' RETURNING id", [("mem_1",)]),
        (EPISODE, [(0, "memory 2", "Monday")]),
        ("SELECT count(*) FROM memstore.memory_relationships", [(0,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
