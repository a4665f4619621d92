from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import AGENT, AGENTS, LATER, Case, insert, walk


def closed(number: int) -> str:
    return insert("sessions", id=UUID(int=number), agent_id=AGENT, status="closed", expires_at=LATER)


CASE = Case(
    revision="0017_closed_sessions_index",
    before=(*AGENTS, closed(8)),
    after=(closed(9),),
    adds=(),
    answers=(
        (
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_sessions_updated_at'",
            [
                (
                    "CREATE INDEX ix_sessions_updated_at ON memstore.sessions USING btree (updated_at) "
                    "WHERE (status = 'closed'::text)",
                )
            ],
        ),
    ),
)


async def test_rows_stay_on_the_way_up_down_and_up(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
