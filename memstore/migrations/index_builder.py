"""Building, exchanging and dropping indexes outside of any revision, while their tables are read and written."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from .lock import alone_in_database
from .operations.direct import direct_work
from .operations.index_definition import IndexRequest
from .operations.index_state import drop_leftover
from .operations.indexes import build_index, drop_index, exchange_index
from .pausing import sqlstate
from .sql_text import escaped, literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..settings import Settings
    from .operations.work import Work
    from .progress import Reporter


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """An index, in the terms of SQL.

    name, table, schema: as they are, without quotes.
    keys: what stands between the parentheses, operator class included.
    method: such as `hnsw`.
    options: what stands in WITH.
    where: the predicate of a partial index, without WHERE.
    """

    name: str
    table: str
    schema: str
    keys: str
    method: str
    options: Mapping[str, int] = field(default_factory=dict)
    where: str | None = None


class IndexBuilder:
    """Builds, exchanges and drops indexes, one at a time. See `index_builder`.

    connection: in AUTOCOMMIT, the one that holds the lock; for what else has to be asked meanwhile.
    """

    def __init__(self, connection: AsyncConnection, settings: Settings, report: Reporter | None) -> None:
        self.connection = connection
        self._settings = settings
        self._report = report

    async def build(self, index: WantedIndex, *, memory: str | None = None) -> None:
        """Build an index, and see that it is valid; one that is there, valid and the same is left as it is.

        What a killed build left under its name is dropped first. `memory` is the maintenance_work_mem of this build,
        that of the settings when None.

        Raises:
            MigrationError: there is another index of that name, or the table is busy beyond the retries.
        """
        await self._run("build", index, build_index, memory)

    async def rebuild(self, index: WantedIndex, *, memory: str | None = None) -> None:
        """Build an index anew beside the one of its name, and exchange the two: searches have one of them all the time.

        What a killed run left beside it is dropped, or brought to its end.

        Raises:
            MigrationError: the table is busy beyond the retries.
        """
        await self._run("rebuild", index, exchange_index, memory)

    async def comment(self, index: WantedIndex, comment: str) -> None:
        """Write something down beside an index."""
        await self.connection.execute(text(escaped(f"COMMENT ON INDEX {_request(index).label} IS {literal(comment)}")))

    async def clean(self, schema: str, table: str, name: str) -> None:
        """Drop an index that a killed build left not valid, unless somebody has just brought it to its end.

        Raises:
            MigrationError: as `drop`.
        """
        await self._run("drop", WantedIndex(name, table, schema, "", ""), _clean)

    async def drop(self, schema: str, table: str, name: str) -> None:
        """Drop an index, valid or not, once nobody builds it and no transaction uses it any more.

        Raises:
            MigrationError: it is on another table, or the table is busy beyond the retries.
        """
        await self._run("drop", WantedIndex(name, table, schema, "", ""), drop_index)

    async def _run(
        self, what: str, index: WantedIndex, do: Callable[[Work, IndexRequest], None], memory: str | None = None
    ) -> None:
        request = _request(index)
        settings = self._settings if memory is None else replace(self._settings, maintenance_work_mem=memory)

        def run(connection: Connection) -> None:
            with direct_work(connection, what, request.label, settings, self._report) as work:
                try:
                    do(work, request)
                except DBAPIError as error:
                    if not _is_short_of_shared_memory(error):
                        raise
                    work.report("too little shared memory for parallel workers, building without them")
                    with _no_workers(work):
                        do(work, request)

        await self.connection.run_sync(run)


def _clean(work: Work, request: IndexRequest) -> None:
    work.patiently(lambda: drop_leftover(work, request), phase="waiting for whoever builds it")


def _is_short_of_shared_memory(error: DBAPIError) -> bool:
    """Tell whether workers could not share the graph: through /dev/shm, of which a container has 64 MB by default."""
    return sqlstate(error) == "53100" and "shared memory" in str(error.orig)


@contextmanager
def _no_workers(work: Work) -> Iterator[None]:
    (before,) = work.execute("SHOW max_parallel_maintenance_workers")[0]
    work.execute("SET max_parallel_maintenance_workers = 0")
    try:
        yield
    finally:
        if not work.connection.invalidated:
            work.execute(f"SET max_parallel_maintenance_workers = {before}")


@asynccontextmanager
async def index_builder(
    engine: AsyncEngine, settings: Settings, on_progress: Reporter | None = None
) -> AsyncIterator[IndexBuilder]:
    """Yield what builds indexes, on a connection that alone in this database builds them or migrates.

    Locks, retries, memory and waiting are as `settings` say. `on_progress` is called with a `Progress` now and then,
    also from another thread; when None, a line is logged every ten seconds.

    Raises:
        MigrationLockError: another runner did not end within `settings.migration_wait_s`; it is named.
        RequirementError: the server or pgvector is too old.
    """
    async with alone_in_database(engine, settings) as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield IndexBuilder(connection, settings, on_progress)
        finally:
            if not connection.invalidated:
                await connection.rollback()
                await connection.execution_options(isolation_level="READ COMMITTED")


def _request(index: WantedIndex) -> IndexRequest:
    options: dict[str, Any] = {"using": index.method}
    if index.options:
        options["with_"] = dict(index.options)
    if index.where is not None:
        options["where"] = index.where
    return IndexRequest(
        index.name, index.table, (text(escaped(index.keys)),), index.schema, unique=False, options=options
    )
