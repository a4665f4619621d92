from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import downgrade, upgrade
from tests.migrations.revisions.case import EMBEDDING_DIM, INES, MEMORIES, Case, insert, run, walk

SHARD = "SELECT node_id FROM memstore.mirror_outbox WHERE memstore.mirror_shard(tenant_id) = 1 ORDER BY seq"
OTHER = str(UUID(int=2))
# Of an identity that is always generated, so that nothing conflicts: once and no more.
ENQUEUE = (
    f"INSERT INTO memstore.mirror_outbox (tenant_id, node_id) SELECT tenant::uuid, node FROM (VALUES "
    f"('{INES}', 'mem_2'), ('{OTHER}', 'theirs'), ('{INES}', 'deleted')) AS each (tenant, node) "
    "WHERE NOT EXISTS (SELECT FROM memstore.mirror_outbox)"
)

CASE = Case(
    revision="0029_mirror_outbox",
    before=MEMORIES,
    after=(ENQUEUE, insert("mirror_rejections", node_id="mem_1", reason="the vector is zero", version=1)),
    adds=("mirror_outbox", "mirror_rejections", "mirror_shard()"),
    answers=(
        (SHARD, [("mem_2",), ("deleted",)]),
        ("SELECT seq, enqueued_at <= now() FROM memstore.mirror_outbox WHERE node_id = 'deleted'", [(3, True)]),
        ("SELECT node_id, reason, version FROM memstore.mirror_rejections", [("mem_1", "the vector is zero", 1)]),
        ("DELETE FROM memstore.tenants RETURNING name", [("ines@example.com",)]),
        ("SELECT count(*) FROM memstore.mirror_rejections", [(0,)]),
        (SHARD, [("mem_2",), ("deleted",)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)


async def test_numbers_go_on_after_those_that_were_given_out(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine, CASE.revision, embedding_dim=EMBEDDING_DIM)
    await run(empty_engine, *CASE.before, *CASE.after, "DELETE FROM memstore.mirror_outbox WHERE node_id = 'deleted'")
    await downgrade(empty_engine, CASE.below)
    await upgrade(empty_engine, CASE.revision)
    await run(empty_engine, insert("mirror_outbox", tenant_id=INES, node_id="next"))
    async with empty_engine.connect() as connection:
        numbers = await connection.execute(text("SELECT node_id, seq FROM memstore.mirror_outbox ORDER BY seq"))
        assert numbers.all() == [("mem_2", 1), ("theirs", 2), ("next", 4)]


@pytest.mark.parametrize("last", [0, 1, 15, 16, 127, 128, 255])
async def test_the_shard_of_a_tenant_is_told_by_its_last_byte(empty_engine: AsyncEngine, last: int) -> None:
    await upgrade(empty_engine, CASE.revision, embedding_dim=EMBEDDING_DIM)
    tenant = UUID(bytes=bytes([255] * 15 + [last]))
    async with empty_engine.connect() as connection:
        shard = await connection.scalar(text("SELECT memstore.mirror_shard(:tenant)"), {"tenant": tenant})
    assert shard == tenant.bytes[15] % 16
