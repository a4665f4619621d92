from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import downgrade, upgrade
from memstore.models import MIRROR_TRIGGERS
from tests.migrations.revisions.case import EMBEDDING_DIM, MEMORIES, Case, insert, run, walk

STATES = """
    SELECT tgname, tgenabled::text FROM pg_trigger
    WHERE tgrelid = 'memstore.memory_nodes'::regclass AND tgname LIKE 'mirror%' ORDER BY tgname
"""
ON, OFF = ([(name, state) for name in sorted(MIRROR_TRIGGERS)] for state in "OD")
TURN_ON = "ALTER TABLE memstore.memory_nodes " + ", ".join(f"ENABLE TRIGGER {name}" for name in MIRROR_TRIGGERS)
ENQUEUED = "SELECT node_id FROM memstore.mirror_outbox ORDER BY seq"

CASE = Case(
    revision="0030_mirror_triggers",
    before=MEMORIES,
    after=(TURN_ON, insert("memory_nodes", id="mem_3", content="memory 3")),
    adds=("enqueue_for_mirror()",),
    answers=(
        (STATES, ON),
        (ENQUEUED, [("mem_3",)]),
        ("UPDATE memstore.memory_nodes SET importance = 7 WHERE id = 'mem_2' RETURNING importance", [(7,)]),
        ("DELETE FROM memstore.memory_nodes WHERE id = 'mem_1' RETURNING id", [("mem_1",)]),
        (ENQUEUED, [("mem_3",), ("mem_2",), ("mem_1",)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)


async def test_what_was_turned_on_is_off_after_the_way_down_and_up(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine, CASE.revision, embedding_dim=EMBEDDING_DIM)
    await run(empty_engine, TURN_ON, *CASE.before)
    await downgrade(empty_engine, CASE.below)
    await run(empty_engine, insert("memory_nodes", id="meanwhile", content="x"))
    await upgrade(empty_engine, CASE.revision)
    async with empty_engine.connect() as connection:
        assert (await connection.execute(text(STATES))).all() == OFF
        assert (await connection.scalars(text(ENQUEUED))).all() == ["mem_1", "mem_2"]
