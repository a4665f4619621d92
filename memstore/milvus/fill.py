"""Filling a collection from PostgreSQL while everybody goes on: page after page, each as it is at its moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import outbox
from .copying import copy_or_set_aside
from .entity_store import BATCH
from .shards import locked
from .source import SHARDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from uuid import UUID

    from .client import Milvus
    from .copying import Target
    from .source import Key, Source


async def fill(
    source: Source, milvus: Milvus, target: Target, *, on_progress: Callable[[int], None] = lambda _: None
) -> int:
    """Copy all memories into a collection; return how many were written. Running it again overwrites with the same.

    The collection must be in the ledger by now, so that the relay writes to it what changes behind this.

    Raises:
        MirrorError: another relay holds a shard for a minute.
    """
    written = 0
    for shard in range(SHARDS):
        page: list[Key] = []
        async for tenant_id in source.tenants(shard):
            async for ids in _pages(source, tenant_id):
                page += [(tenant_id, each) for each in ids]
                # Small tenants go together: a call of Milvus takes its time however little it writes.
                while len(page) >= BATCH:
                    written += await _copy(source, milvus, target, shard, page[:BATCH])
                    page = page[BATCH:]
                    on_progress(written)
        if page:
            written += await _copy(source, milvus, target, shard, page)
            on_progress(written)
    return written


async def _pages(source: Source, tenant_id: UUID) -> AsyncIterator[list[str]]:
    after = ""
    while ids := await source.ids(tenant_id, after, BATCH):
        yield ids
        after = ids[-1]


async def _copy(source: Source, milvus: Milvus, target: Target, shard: int, keys: Sequence[Key]) -> int:
    # For a page only: the relay goes on in between.
    async with locked(source.connection, shard):
        copied = await copy_or_set_aside(source, milvus, target, keys)
        if copied.rejections:
            await outbox.settle_rejections(source, [], copied.rejections)
    return copied.upserted
