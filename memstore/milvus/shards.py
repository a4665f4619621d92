"""Whoever writes to the mirror holds the shard of the tenant, so that nothing older overwrites what is there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from ..errors import MirrorError
from .source import SHARDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

# The first four bytes of sha256("memstore.mirror") as a signed integer; the shard is the second half of the key.
LOCK_CLASS = -73_249_375
MOVING = SHARDS  # the lock of whoever changes collections, beside those of the shards
WRITING = SHARDS + 1  # the lock of whoever writes entities to a Milvus Lite; taken last, and held for one batch


def shard_of(tenant_id: UUID) -> int:
    """Return the shard of a tenant, 0 to 15: `memstore.mirror_shard` in SQL."""
    return tenant_id.bytes[15] % SHARDS


async def try_lock(connection: asyncpg.Connection, shard: int) -> bool:
    """Take the lock of a shard if nobody has it. It is the session's: gone when the process is."""
    taken: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, shard)
    return taken


async def unlock(connection: asyncpg.Connection, shard: int) -> None:
    """Let a shard go."""
    if not connection.is_closed():
        await connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, shard)


@asynccontextmanager
async def locked(connection: asyncpg.Connection, shard: int) -> AsyncIterator[None]:
    """Hold the lock of a shard, or of `MOVING`. Who waits here goes before a relay's next batch.

    Raises:
        MirrorError: somebody else has held it for as long as `lock_timeout` of the session.
    """
    try:
        await connection.execute("SELECT pg_advisory_lock($1, $2)", LOCK_CLASS, shard)
    except asyncpg.LockNotAvailableError as error:
        what = "another run is changing collections" if shard == MOVING else f"another relay has shard {shard}"
        raise MirrorError(f"{what}, for longer than this waits. Wait for it to end, and run this again") from error
    try:
        yield
    finally:
        await unlock(connection, shard)


@asynccontextmanager
async def locked_to_write(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Hold the lock `WRITING`, and wait for it as long as that takes: the calls to Milvus of who has it are bounded."""
    while True:
        try:
            await connection.execute("SELECT pg_advisory_lock($1, $2)", LOCK_CLASS, WRITING)
        except asyncpg.LockNotAvailableError:
            continue  # lock_timeout of the session, which is for shards: this lock is never held for long
        break
    try:
        yield
    finally:
        await unlock(connection, WRITING)
