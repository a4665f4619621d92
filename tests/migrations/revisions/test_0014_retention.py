from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, AGENTS, LATER, LONG_AGO, Case, insert, walk


def session(number: int, status: str, **times: str) -> str:
    return insert("sessions", id=UUID(int=number), agent_id=AGENT, status=status, **times)


def audited(name: str, when: str) -> tuple[str, str]:
    activity = insert("activities", id=UUID(int=ord(name)), action=name, created_at=when)
    metric = insert("metrics", id=UUID(int=ord(name)), metric_name=name, metric_type="gauge", value=1, timestamp=when)
    return activity, metric


STATE = """
    SELECT (SELECT string_agg(status, ' ' ORDER BY id) FROM memstore.sessions),
           (SELECT string_agg(action, ' ' ORDER BY id) FROM memstore.activities),
           (SELECT string_agg(metric_name, ' ' ORDER BY id) FROM memstore.metrics),
           (SELECT string_agg(id, ' ' ORDER BY id) FROM memstore.memory_nodes)
"""

CASE = Case(
    revision="0014_retention",
    before=(
        *AGENTS,
        session(4, "active", expires_at=LONG_AGO, updated_at=LONG_AGO),
        session(5, "closed", expires_at=LONG_AGO, updated_at=LONG_AGO),
        session(6, "closed", expires_at=LONG_AGO, updated_at=LATER),
        session(7, "expired", expires_at=LONG_AGO, updated_at=LONG_AGO),
        *audited("a", LONG_AGO),
        *audited("b", LONG_AGO),
        *audited("c", LATER),
        insert("memory_nodes", id="due", content="x", expires_at=LONG_AGO),
        insert("memory_nodes", id="kept", content="x", created_at=LONG_AGO),
    ),
    after=(insert("memory_nodes", id="short", content="x", created_at=LONG_AGO, decay_tier="short"),),
    adds=(
        "archive_closed_sessions()",
        "check_retention()",
        "cleanup_expired_sessions()",
        "purge_activities()",
        "purge_expired_memories()",
        "purge_metrics()",
    ),
    answers=(
        ("SELECT memstore.cleanup_expired_sessions()", [(1,)]),
        (STATE, [("active expired closed closed expired", "a b c", "a b c", "due kept short")]),
        ("SELECT memstore.archive_closed_sessions('1 day')", [(1,)]),
        (STATE, [("active expired archived closed expired", "a b c", "a b c", "due kept short")]),
        ("SELECT memstore.purge_activities('1 day', 1), memstore.purge_activities('1 day')", [(1, 1)]),
        (STATE, [("active expired archived closed expired", "c", "a b c", "due kept short")]),
        ("SELECT memstore.purge_metrics('1 day')", [(2,)]),
        (STATE, [("active expired archived closed expired", "c", "c", "due kept short")]),
        ("SELECT memstore.purge_expired_memories()", [(2,)]),
        (STATE, [("active expired archived closed expired", "c", "c", "kept")]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
