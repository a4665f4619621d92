"""A bounded pool of connections, and transactions of one tenant on them: three round trips each, however they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from ...database import create_engine, explained
from ...errors import StoreBusyError, StoreClosedError
from .codecs import register_codecs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from sqlalchemy.engine import URL
    from sqlalchemy.pool import PoolProxiedConnection

T = TypeVar("T")

_ROLLBACK_TIMEOUT = 5.0
# Raised where a statement was prepared before the schema changed, or has types that are other ones by now.
_OUTDATED = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedObjectError,
    asyncpg.UndefinedTableError,
)
_LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, OSError)
_DRIVERS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Connections:
    """Connections of a store.

    Statements are run by asyncpg itself: what SQLAlchemy adds to each costs as much as a small search does.
    """

    def __init__(self, url: URL | str, *, pool_size: int, pool_timeout: float) -> None:
        self._engine = create_engine(
            url,
            application_name="memstore store",
            pool_size=pool_size,
            max_overflow=0,
            pool_reset_on_return=None,  # every transaction is ended here
            pool_use_lifo=True,  # the connection that was used last has its statements and functions at hand
        )
        self.url = self._engine.url
        self.vector_schema = "public"  # as the newest connection found it
        self._size = pool_size
        self._timeout = pool_timeout
        # First come, first served: who comes back to SQLAlchemy's pool at once goes before those who wait there, and
        # under load some of them wait for ever.
        self._free = asyncio.Semaphore(pool_size)
        self._in_use: set[asyncpg.Connection] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._generation = 0
        self._closed = False
        event.listen(self._engine.sync_engine, "connect", self._on_connect)
        event.listen(self._engine.sync_engine, "checkout", self._on_checkout)

    async def run(self, tenant_id: UUID, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run `work` in a transaction of a tenant; it is committed when it returns, and rolled back when it raises.

        It is run once more, from its start, where the connection turned out to be dead before anything was done, where
        the schema has changed under a prepared statement, and where another transaction made it give way.

        Raises:
            StoreBusyError, StoreClosedError: there was no connection to be had.
            ServerUnreachableError, AuthenticationError, DatabaseMissingError: there is none.
        """
        try:
            return await self._attempt(tenant_id, work)
        except _AgainError:
            pass
        try:
            return await self._attempt(tenant_id, work)
        except _AgainError as again:
            raise again.cause from None

    async def close(self) -> None:
        """Cut what is under way, and close the rest."""
        self._closed = True
        for driver in tuple(self._in_use):
            driver.terminate()
        await asyncio.gather(*self._endings, return_exceptions=True)
        await self._engine.dispose()

    async def _attempt(self, tenant_id: UUID, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        pooled = await self._checkout()
        driver = cast("asyncpg.Connection", pooled.driver_connection)
        generation = self._generation
        has_begun = False
        self._in_use.add(driver)
        try:
            # Not set_config(): only a SET LOCAL statement reaches the workers of Citus. A parsed UUID is safe.
            await driver.execute(f"BEGIN; SET LOCAL memstore.tenant_id = '{tenant_id}'")
            has_begun = True
            result = await work(driver)
            await driver.execute("COMMIT")
        except Exception as error:
            await self._end(pooled, driver)
            if self._closed:
                raise _closed() from error
            if _is_outdated(error) and generation == self._generation:
                self._generation += 1  # what was prepared on the other connections is as old
            if self._may_help_again(error, has_begun=has_begun):
                raise _AgainError(error) from error
            raise
        except BaseException:
            # Cancelled: the caller does not wait for the server to notice, the connection does.
            self._watch(asyncio.ensure_future(self._end(pooled, driver)))
            raise
        self._in_use.discard(driver)
        pooled.close()
        self._free.release()
        return result

    @staticmethod
    def _may_help_again(error: Exception, *, has_begun: bool) -> bool:
        if _is_outdated(error) or isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
            return True
        is_lost = isinstance(error, _LOST) or (isinstance(error, asyncpg.InterfaceError) and "closed" in str(error))
        return is_lost and not has_begun

    async def _checkout(self) -> PoolProxiedConnection:
        if self._closed:
            raise _closed()
        await self._turn()
        connecting: asyncio.Future[PoolProxiedConnection] | None = None
        try:
            with explained(self.url, while_connecting=True):
                if self._has_idle():
                    return await self._engine.raw_connection()
                # A task of its own: a connection whose making is cancelled half-way is never closed.
                connecting = asyncio.ensure_future(self._engine.raw_connection())
                return await asyncio.shield(connecting)
        except BaseException:
            if connecting is None:
                self._free.release()
            else:
                self._watch(asyncio.ensure_future(self._give_back(connecting)))
            raise

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._timeout if self._free.locked() else None):
                await self._free.acquire()
        except TimeoutError as error:
            raise StoreBusyError(
                f"all {self._size} connections of the store were in use for {self._timeout:g} s. Raise pool_size or "
                "pool_timeout (MEMSTORE_POOL_SIZE, MEMSTORE_POOL_TIMEOUT_S), or ask less at once"
            ) from error

    def _has_idle(self) -> bool:
        pool = self._engine.pool
        return isinstance(pool, QueuePool) and pool.checkedin() > 0

    async def _give_back(self, connecting: asyncio.Future[PoolProxiedConnection]) -> None:
        """Give back the connection that somebody no longer waits for."""
        await asyncio.wait([connecting])
        if not connecting.cancelled() and connecting.exception() is None:
            connecting.result().close()
        self._free.release()

    def _watch(self, ending: asyncio.Task[None]) -> None:
        self._endings.add(ending)  # asyncio itself holds tasks weakly
        ending.add_done_callback(self._endings.discard)

    async def _end(self, pooled: PoolProxiedConnection, driver: asyncpg.Connection) -> None:
        """Roll back, and give the connection back; one that cannot even do that is thrown away."""
        try:
            if not driver.is_closed():
                await driver.execute("ROLLBACK", timeout=_ROLLBACK_TIMEOUT)
        except (*_DRIVERS, TimeoutError):
            driver.terminate()
        except BaseException:
            driver.terminate()
            raise
        finally:
            self._in_use.discard(driver)
            if driver.is_closed():
                pooled.invalidate()
            else:
                pooled.close()
            self._free.release()

    def _on_connect(self, adapted: Any, record: Any) -> None:
        record.info["generation"] = self._generation
        self.vector_schema = adapted.run_async(register_codecs)

    def _on_checkout(self, adapted: Any, record: Any, _pooled: Any) -> None:
        # Without a round trip: a connection whose server went away has been closed by its own transport.
        if record.info["generation"] != self._generation or adapted.driver_connection.is_closed():
            raise DisconnectionError


class _AgainError(Exception):
    """The transaction is over, and may succeed when it is run again."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def _is_outdated(error: Exception) -> bool:
    # The second is what becomes of a function or a type that was replaced.
    is_lookup = isinstance(error, asyncpg.InternalServerError) and "cache lookup failed" in str(error)
    return is_lookup or isinstance(error, _OUTDATED)


def _closed() -> StoreClosedError:
    return StoreClosedError("the store is closed. Open another: memstore.store.open()")
