from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, MEMORIES, Case, insert, walk

TOOL = "00000000-0000-0000-0000-000000000005"
TOOLS = """
    SELECT agents.name, tools.name, enabled, config, timeout_seconds, input_schema -> 'type'
    FROM memstore.agent_tools JOIN memstore.tools ON tools.id = tool_id JOIN memstore.agents ON agents.id = agent_id
"""

CASE = Case(
    revision="0005_tools",
    before=MEMORIES,
    after=(
        insert("tools", id=TOOL, name="search", input_schema={"type": "object"}),
        insert("agent_tools", agent_id=AGENT, tool_id=TOOL, config={"depth": 2}),
    ),
    adds=("agent_tools", "tools"),
    answers=(
        (TOOLS, [("Guide", "search", True, {"depth": 2}, 30, "object")]),
        ("UPDATE memstore.tools SET status = 'deprecated' RETURNING version", [(2,)]),
        ("DELETE FROM memstore.agents RETURNING name", [("Guide",)]),
        ("SELECT (SELECT count(*) FROM memstore.tools), (SELECT count(*) FROM memstore.agent_tools)", [(1, 0)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
