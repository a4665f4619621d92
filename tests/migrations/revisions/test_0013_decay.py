from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import LATER, LONG_AGO, PEOPLE, Case, insert, walk


def memory(name: str, **columns: object) -> str:
    return insert("memory_nodes", id=name, content=name, **columns)


CASE = Case(
    revision="0013_decay",
    before=(
        *PEOPLE,
        memory("new", created_at=LATER),
        memory("old", created_at=LONG_AGO),
        memory("old_but_lasting", created_at=LONG_AGO, decay_lambda=0, importance=8),
        memory("expired", expires_at=LONG_AGO),
        memory("deleted", deleted_at=LONG_AGO),
    ),
    after=(memory("important", created_at=LATER, importance=10),),
    adds=("active_memories", "decay_score()", "refuse_write()"),
    answers=(
        (
            "SELECT id, round(decay_score::numeric, 3)::float FROM memstore.active_memories ORDER BY decay_score DESC",
            [("important", 1), ("old_but_lasting", 0.8), ("new", 0.5), ("old", 0)],
        ),
        (
            "SELECT accesses, round(memstore.decay_score('2026-01-01Z', 0.12, 10, accesses, '2026-01-11Z')::numeric, 3)"
            "::float FROM (VALUES (0), (9)) AS t (accesses)",
            [(0, 0.301), (9, 0.695)],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
