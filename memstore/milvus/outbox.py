"""The outbox in PostgreSQL: turned on and off, filled with what is there, and read by the relay."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from ..errors import MirrorError
from ..models import MIRROR_TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from .entities import Rejection
    from .source import Key, Source

ENQUEUE_BATCH = 10_000
_LOCK_TIMEOUT_MS = 100
_ATTEMPTS = 100
_PAUSE_S = 0.2

_ARE_ON = """
    SELECT count(*) = $2 FROM pg_trigger
    WHERE tgrelid = 'memstore.memory_nodes'::regclass AND tgname = ANY ($1::text[]) AND tgenabled <> 'D'
"""
_ENQUEUE = """
    WITH page AS (
        SELECT tenant_id, id FROM memstore.memory_nodes WHERE (tenant_id, id) > ($1, $2)
        ORDER BY tenant_id, id LIMIT $3
    ), written AS (
        INSERT INTO memstore.mirror_outbox (tenant_id, node_id) SELECT tenant_id, id FROM page
    )
    SELECT tenant_id, id FROM page ORDER BY tenant_id, id
"""
_NEXT = """
    SELECT seq, tenant_id, node_id FROM memstore.mirror_outbox
    WHERE memstore.mirror_shard(tenant_id) = $1 ORDER BY seq LIMIT $2
"""
_DONE = "DELETE FROM memstore.mirror_outbox WHERE seq = ANY ($1::bigint[])"
_NOT_REJECTED = """
    DELETE FROM memstore.mirror_rejections AS r USING unnest($1::uuid[], $2::text[]) AS k (tenant_id, node_id)
    WHERE r.tenant_id = k.tenant_id AND r.node_id = k.node_id
"""
# A tenant may have been deleted since.
_REJECTED = """
    INSERT INTO memstore.mirror_rejections (tenant_id, node_id, version, reason)
    SELECT k.* FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[]) AS k (tenant_id, node_id, version, reason)
    WHERE EXISTS (SELECT FROM memstore.tenants AS t WHERE t.id = k.tenant_id FOR KEY SHARE)
    ON CONFLICT (tenant_id, node_id) DO UPDATE
    SET version = excluded.version, reason = excluded.reason, rejected_at = now()
"""
_LAG = """
    SELECT count(*) AS entries, min(enqueued_at) AS oldest,
           coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at)), 0)::float8 AS seconds,
           (SELECT count(*) FROM memstore.mirror_rejections) AS rejections
    FROM memstore.mirror_outbox
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """That a memory changed: its place in the outbox, and which one."""

    seq: int
    key: Key


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the mirror is behind.

    entries: changes that it has not followed.
    oldest: when the first of them was made; None without any.
    seconds: how long that is ago.
    rejections: memories that it cannot hold, set aside.
    """

    entries: int
    oldest: datetime | None
    seconds: float
    rejections: int


async def is_enabled(source: Source) -> bool:
    """Return whether changes are written down."""
    on: bool = await source.connection.fetchval(_ARE_ON, list(MIRROR_TRIGGERS), len(MIRROR_TRIGGERS))
    return on


async def enable(source: Source, *, on_enqueued: Callable[[int], None] = lambda _: None) -> int:
    """Write down all changes from now on, and what is there already; return how many memories were enqueued.

    Turning the triggers on waits for the transactions that are writing memories, 100 ms at a time.

    Raises:
        MirrorError: they are never over.
    """
    await _alter(source, "ENABLE")
    return await enqueue_all(source, on_enqueued=on_enqueued)


async def disable(source: Source) -> None:
    """Write no more changes down. What is in the outbox stays. Raises as `enable`."""
    await _alter(source, "DISABLE")


async def enqueue_all(source: Source, *, on_enqueued: Callable[[int], None] = lambda _: None) -> int:
    """Enqueue every memory that there is, and return how many."""
    tenant, after, total = "00000000-0000-0000-0000-000000000000", "", 0
    while page := await source.connection.fetch(_ENQUEUE, tenant, after, ENQUEUE_BATCH):
        total += len(page)
        tenant, after = page[-1]
        on_enqueued(total)
    return total


async def next_entries(source: Source, shard: int, limit: int) -> list[Entry]:
    """Return the next changes of a shard, the oldest first."""
    found = await source.connection.fetch(_NEXT, shard, limit)
    return [Entry(seq, (tenant_id, node_id)) for seq, tenant_id, node_id in found]


async def settle(source: Source, entries: Sequence[Entry], rejections: Sequence[Rejection]) -> None:
    """Take changes out of the outbox that Milvus has acknowledged, and set aside what it cannot hold, in one step."""
    keys = list({each.key for each in entries})
    async with source.connection.transaction():
        await settle_rejections(source, keys, rejections)
        await source.connection.execute(_DONE, [each.seq for each in entries])


async def settle_rejections(source: Source, keys: Sequence[Key], rejections: Sequence[Rejection]) -> None:
    """Say of these memories which of them the mirror cannot hold."""
    if keys:
        await source.connection.execute(_NOT_REJECTED, [key[0] for key in keys], [key[1] for key in keys])
    # One collection may take what another does not: the last reason is kept.
    last = {(each.tenant_id, each.node_id): each for each in rejections}.values()
    if last:
        columns = [(each.tenant_id, each.node_id, each.version, each.reason) for each in last]
        await source.connection.execute(_REJECTED, *map(list, zip(*columns, strict=True)))


async def lag(source: Source) -> Lag:
    """Return how far the mirror is behind."""
    found = await source.connection.fetchrow(_LAG)
    return Lag(found["entries"], found["oldest"], found["seconds"], found["rejections"])


async def _alter(source: Source, verb: str) -> None:
    listed = ", ".join(f"{verb} TRIGGER {each}" for each in MIRROR_TRIGGERS)
    for _ in range(_ATTEMPTS):
        try:
            async with source.connection.transaction():
                # Everybody who writes memories queues behind a lock that waits.
                await source.connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_MS}ms'")
                await source.connection.execute(f"ALTER TABLE memstore.memory_nodes {listed}")
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    raise MirrorError(
        f"memory_nodes was written to without a pause of {_LOCK_TIMEOUT_MS} ms, {_ATTEMPTS} times over. End the long "
        "transaction that does (SELECT pid, query, xact_start FROM pg_stat_activity ORDER BY xact_start), run it again"
    )
