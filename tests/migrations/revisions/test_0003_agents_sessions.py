from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENTS, PEOPLE, Case, walk

CASE = Case(
    revision="0003_agents_sessions",
    before=PEOPLE,
    after=AGENTS,
    adds=("agents", "sessions"),
    answers=(
        ("SELECT name, status, language, capabilities FROM memstore.agents", [("Guide", "draft", "en", [])]),
        ("SELECT status, history, workspace FROM memstore.sessions", [("active", [], {})]),
        ("UPDATE memstore.agents SET status = 'active' RETURNING version", [(2,)]),
        ("UPDATE memstore.sessions SET status = 'closed' RETURNING version", [(2,)]),
        ("DELETE FROM memstore.agents RETURNING name", [("Guide",)]),
        ("SELECT count(*) FROM memstore.sessions", [(0,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
