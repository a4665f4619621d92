from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, MEMORIES, SESSION, Case, insert, walk

ONE = "00000000-0000-0000-0000-000000000010"

CASE = Case(
    revision="0010_activities_metrics",
    before=MEMORIES,
    after=(
        insert("activities", id=ONE, agent_id=AGENT, session_id=SESSION, action="answer", cost="0.25"),
        insert("metrics", id=ONE, agent_id=AGENT, metric_name="load", metric_type="gauge", value=-1, labels={"cpu": 0}),
    ),
    adds=("activities", "metrics"),
    answers=(
        ("SELECT action, status, cost, tools_used FROM memstore.activities", [("answer", "success", 0.25, [])]),
        ("SELECT metric_name, value FROM memstore.metrics WHERE labels @> '{\"cpu\": 0}'", [("load", -1)]),
        ("DELETE FROM memstore.agents RETURNING name", [("Guide",)]),
        ("SELECT action, agent_id, session_id FROM memstore.activities", [("answer", None, None)]),
        ("SELECT metric_name, agent_id FROM memstore.metrics", [("load", None)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
