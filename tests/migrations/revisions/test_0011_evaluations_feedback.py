from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, AGENTS, LONG_AGO, SESSION, Case, insert, walk

ACTIVITY, NEW, RESOLVED, OLD = (f"00000000-0000-0000-0000-00000000001{number}" for number in range(4))
PLACE = {"agent_id": AGENT, "session_id": SESSION, "activity_id": ACTIVITY}

CASE = Case(
    revision="0011_evaluations_feedback",
    before=(*AGENTS, insert("activities", id=ACTIVITY, agent_id=AGENT, session_id=SESSION, action="answer")),
    after=(
        insert("evaluations", id=NEW, agent_id=AGENT, evaluator_type="rule", score="0.75", passed=True),
        insert("feedback", id=NEW, feedback_type="bug", **PLACE),
        insert("feedback", id=RESOLVED, feedback_type="bug", status="resolved", **PLACE),
        insert("feedback", id=OLD, feedback_type="bug", created_at=LONG_AGO, **PLACE),
    ),
    adds=("evaluations", "feedback", "recent_feedback_summary"),
    answers=(
        ("SELECT evaluator_type, score, passed FROM memstore.evaluations", [("rule", 0.75, True)]),
        (
            "SELECT agent_id::text, feedback_type, severity, total, unresolved, resolved "
            "FROM memstore.recent_feedback_summary",
            [(AGENT, "bug", "medium", 2, 1, 1)],
        ),
        ("DELETE FROM memstore.activities RETURNING action", [("answer",)]),
        ("DELETE FROM memstore.agents RETURNING name", [("Guide",)]),
        ("SELECT DISTINCT agent_id, session_id, activity_id FROM memstore.feedback", [(None, None, None)]),
        ("SELECT evaluator_type, agent_id FROM memstore.evaluations", [("rule", None)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
