from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, LATER, PEOPLE, Case, insert, walk


def conversation(number: int) -> tuple[str, ...]:
    """A session with two activities, which cost 1 and 2."""
    session = {"agent_id": AGENT, "session_id": UUID(int=number)}
    dear = {"cost": 2, "status": "failure", "duration_ms": 30}
    return (
        insert("sessions", id=session["session_id"], agent_id=AGENT, expires_at=LATER),
        insert("activities", id=UUID(int=number * 10), action="ask", cost=1, duration_ms=10, **session),
        insert("activities", id=UUID(int=number * 10 + 1), action="answer", **dear, **session),
    )


CASE = Case(
    revision="0015_agent_stats",
    before=(
        *PEOPLE,
        insert("agents", id=AGENT, name="Guide"),
        insert("agents", id=UUID(int=9), name="Idle"),
        *conversation(1),
        *conversation(2),
    ),
    after=conversation(3),
    adds=("agent_stats",),
    answers=(
        (
            "SELECT name, total_sessions, active_sessions, total_activities, successful_activities, failed_activities, "
            "avg_duration_ms, total_cost, last_activity_at IS NULL FROM memstore.agent_stats ORDER BY name",
            [("Guide", 3, 3, 6, 3, 3, 20, 9, False), ("Idle", 0, 0, 0, 0, 0, 0, 0, True)],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
