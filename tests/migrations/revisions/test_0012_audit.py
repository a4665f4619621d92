from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, MEMORIES, Case, insert, walk

ONE = "00000000-0000-0000-0000-000000000012"
TRAIL = "SELECT memory_id, user_id::text, access_type FROM memstore.memory_access_log"

CASE = Case(
    revision="0012_audit",
    before=MEMORIES,
    after=(
        insert("memory_access_log", id=ONE, user_id=INES, memory_id="mem_1", access_type="read"),
        insert("search_metrics", id=ONE, search_type="hybrid", result_count=2, execution_time_ms=1.5),
    ),
    adds=("memory_access_log", "search_metrics"),
    answers=(
        (TRAIL, [("mem_1", INES, "read")]),
        ("SELECT search_type, result_count, execution_time_ms FROM memstore.search_metrics", [("hybrid", 2, 1.5)]),
        ("DELETE FROM memstore.memory_nodes WHERE id = 'mem_1' RETURNING id", [("mem_1",)]),
        (TRAIL, [("mem_1", INES, "read")]),
        ("DELETE FROM memstore.users RETURNING external_id", [("ines",)]),
        (TRAIL, [("mem_1", None, "read")]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
