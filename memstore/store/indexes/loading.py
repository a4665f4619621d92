"""The vector index of a large load: rows go many times faster into a table without one, so it is built after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import text

from ...database import explained, open_connection
from ...errors import MemstoreError
from ...models import SCHEMA
from ...settings import Settings, settings_beside_a_host
from .facts import owns_tables, volumes
from .found import find_indexes, find_targets
from .manage import build_indexes, drop_indexes
from .plan import IndexAction
from .refresh import refresh, refresh_tenant
from .request import IndexOptions, IndexSelection
from .targets import IndexedTable

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ...migrations import Reporter

# A live graph takes some 600 rows a second of 1,024 dimensions: half a minute for these.
LARGE_LOAD = 20_000
VACUUM_FROM = 10_000
_WAIT_S = 5.0  # for another builder, who builds what this load wants too
_DROP_WAIT_MS = 30_000  # for transactions that use the index
_MEMORIES = IndexSelection((IndexedTable.MEMORY_NODES,))
_LATER = "Type, as the owner of the tables: memstore index build --table memory_nodes"


class IndexHandling(StrEnum):
    """What a load does about the vector index of memory_nodes.

    auto: a large one drops it first, so that searches are exact, and slower, meanwhile. In the end what is right
        is built.
    keep: it goes into the one that is there, which is slow for many rows. In the end what is missing is built.
    leave: nothing is dropped or built.
    """

    AUTO = "auto"
    KEEP = "keep"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class LoadedIndex:
    """What a load did about the vector index, counted; `note` says what is left to do and why, None: nothing is."""

    dropped: int = 0
    built: int = 0
    seconds: float = 0.0
    note: str | None = None


async def before_load(
    engine: AsyncEngine,
    new_rows: int,
    handling: IndexHandling = IndexHandling.AUTO,
    *,
    settings: Settings | None = None,
) -> LoadedIndex:
    """Drop the index of memory_nodes for a load of more than 20,000 rows, and more than the table has.

    Where this role may not, or somebody else builds, it stays: the load is slower, and no less right. What was dropped
    and not built again, because the load was killed, is built by the next one or by `memstore index build`.
    """
    if handling is not IndexHandling.AUTO or new_rows <= LARGE_LOAD:
        return LoadedIndex()
    started = monotonic()
    async with open_connection(engine) as connection:
        with explained(engine.url):
            worth_it = await _is_worth_dropping(connection, new_rows)
    if not worth_it:
        return LoadedIndex()
    try:
        brief = replace(_brief(settings), concurrent_lock_timeout_ms=_DROP_WAIT_MS, concurrent_lock_retries=0)
        done = await drop_indexes(engine, _MEMORIES, settings=brief)
    except MemstoreError as error:
        return LoadedIndex(seconds=monotonic() - started, note=f"loaded into the vector index: {error}")
    return LoadedIndex(done.count(IndexAction.DROPPED), 0, monotonic() - started)


async def after_load(
    engine: AsyncEngine,
    tenant_id: UUID,
    new_rows: int,
    before: LoadedIndex,
    handling: IndexHandling = IndexHandling.AUTO,
    *,
    settings: Settings | None = None,
    on_progress: Reporter | None = None,
) -> LoadedIndex:
    """Build what is right by now, and refresh the statistics that searches and the planner go by.

    What keeps the index from being built is told in the `note`, and is no failure of the load.
    """
    started, built, note = monotonic(), 0, before.note
    async with open_connection(engine) as connection:
        with explained(engine.url):
            owns = await owns_tables(connection)
    if handling is not IndexHandling.LEAVE:
        if owns:
            try:
                run = await build_indexes(
                    engine, _MEMORIES, IndexOptions(), settings=_brief(settings), on_progress=on_progress
                )
                built = run.count(IndexAction.BUILT) + run.count(IndexAction.REBUILT)
            except MemstoreError as error:
                note = f"the vector index was not built: {error}. {_LATER}"
        elif new_rows >= VACUUM_FROM:
            note = f"no vector index was built, since this role does not own the tables. {_LATER}"
    if new_rows:
        await _refresh(engine, tenant_id, new_rows, owns=owns, built=built > 0)
    return LoadedIndex(before.dropped, built, before.seconds + monotonic() - started, note)


async def _refresh(engine: AsyncEngine, tenant_id: UUID, new_rows: int, *, owns: bool, built: bool) -> None:
    async with open_connection(engine) as connection:
        with explained(engine.url):
            if owns and not built:  # else the table was vacuumed after the build
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await refresh(connection, _MEMORIES.tables, vacuum=new_rows >= VACUUM_FROM, tenants=[])
                await connection.commit()
                await connection.execution_options(isolation_level="READ COMMITTED")
            await connection.execute(text(f"SET LOCAL {SCHEMA}.tenant_id = '{tenant_id}'"))
            await refresh_tenant(connection, tenant_id)
            await connection.commit()


async def _is_worth_dropping(connection: AsyncConnection, new_rows: int) -> bool:
    if not await owns_tables(connection):
        return False
    targets = _MEMORIES.of(await find_targets(connection))
    found, _ = await find_indexes(connection, targets)
    if not any(found.values()):
        return False
    return all(volume.rows < new_rows for volume in (await volumes(connection, targets)).values())


def _brief(settings: Settings | None) -> Settings:
    settings = settings or settings_beside_a_host()
    return replace(settings, migration_wait_s=min(_WAIT_S, settings.migration_wait_s))
