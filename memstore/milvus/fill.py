"""Filling a collection from PostgreSQL while everybody goes on: page after page, each as it is at its moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import outbox
from .copying import copy
from .entity_store import BATCH
from .shards import locked
from .source import SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from .client import Milvus
    from .copying import Target
    from .source import Source


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
        async for tenant_id in source.tenants(shard):
            after: str | None = ""
            while after is not None:
                copied, after = await _page(source, milvus, target, shard, tenant_id, after)
                written += copied
                on_progress(written)
    return written


async def _page(
    source: Source, milvus: Milvus, target: Target, shard: int, tenant_id: UUID, after: str
) -> tuple[int, str | None]:
    ids = await source.ids(tenant_id, after, BATCH)
    if not ids:
        return 0, None
    # For a page only: the relay goes on in between.
    async with locked(source.connection, shard):
        keys = [(tenant_id, each) for each in ids]
        copied = await copy(source, milvus, target, keys)
        if copied.rejections:
            await outbox.settle_rejections(source, [], copied.rejections)
    return copied.upserted, ids[-1] if len(ids) == BATCH else None
