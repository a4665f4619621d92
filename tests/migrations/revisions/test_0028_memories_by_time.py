from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import MEMORIES, Case, insert, walk

CASE = Case(
    revision="0028_memories_by_time",
    before=MEMORIES,
    after=(insert("memory_nodes", id="after", content="x"),),
    adds=(),
    answers=(
        (
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_memory_nodes_tenant_id_created_at'",
            [
                (
                    "CREATE INDEX ix_memory_nodes_tenant_id_created_at ON memstore.memory_nodes USING btree "
                    "(tenant_id, created_at) WHERE (deleted_at IS NULL)",
                )
            ],
        ),
    ),
)


async def test_rows_stay_on_the_way_up_down_and_up(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
