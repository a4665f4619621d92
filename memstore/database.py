"""Engines on asyncpg, and what went wrong when a server cannot be reached, in one line."""

from __future__ import annotations

import json
import shlex
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import asyncpg
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from . import embedded
from .errors import (
    AuthenticationError,
    DatabaseMissingError,
    MemstoreError,
    PermissionDeniedError,
    SchemaMismatchError,
    ServerUnreachableError,
    SettingsError,
)
from .settings import EMBEDDED, normalise, parse_database_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

# Parameters of libpq that asyncpg does not have, and those that SQLAlchemy's asyncpg dialect reads itself.
_UNSUPPORTED = frozenset(
    {"channel_binding", "fallback_application_name", "gssencmode", "keepalives", "requirepeer", "sslcompression"}
)
_DRIVERS_OWN = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    UnicodeError,
)
_SQLALCHEMYS = frozenset({"host", "port", "ssl", "prepared_statement_cache_size"})


def create_engine(url: URL | str, *, application_name: str = "memstore", **options: Any) -> AsyncEngine:
    """Create an async engine for any database URL that memstore accepts, starting an embedded server if it names one.

    `options` go to `sqlalchemy.ext.asyncio.create_async_engine`. Parameters of libpq in the URL (`sslmode`,
    `connect_timeout`, `application_name`, ...) work as they do in psql.

    Raises:
        SettingsError: the URL cannot be used.
        ServerUnreachableError, MissingPackageError: from the embedded server.
    """
    url = parse_database_url(url) if isinstance(url, str) else normalise(url)
    if url.drivername == EMBEDDED:
        url = embedded.start(url.database or "")
    if unsupported := sorted(name for name in url.query if name in _UNSUPPORTED or name.startswith("keepalives_")):
        raise SettingsError(f"asyncpg has no parameter {', '.join(unsupported)}. Remove it from the database URL")
    arguments: dict[str, Any] = {"server_settings": {"application_name": application_name}}
    arguments |= options.pop("connect_args", {})
    query = {name: value for name, value in url.query.items() if name not in _SQLALCHEMYS}
    if "application_name" in query:
        arguments["server_settings"].pop("application_name", None)
    if "connect_timeout" in query:
        arguments["timeout"] = _seconds(query.pop("connect_timeout"))
    if query:
        arguments["dsn"] = f"postgresql://?{urlencode(query, doseq=True)}"  # asyncpg's own parser knows sslmode & co.
    url = url.difference_update_query(query.keys() | {"connect_timeout"})
    try:
        return create_async_engine(
            url,
            connect_args=arguments,
            json_serializer=_to_json,
            hide_parameters=True,  # memories are private: no error and no log repeats them
            **options,
        )
    except ArgumentError as error:
        raise SettingsError(f"the database URL cannot be used: {error}") from error


@asynccontextmanager
async def connecting(
    target: AsyncEngine | URL | str, *, application_name: str = "memstore"
) -> AsyncIterator[AsyncEngine]:
    """Yield an engine for `target`; one that was made here is disposed of, one that was given is left as it is."""
    if isinstance(target, AsyncEngine):
        yield target
        return
    engine = create_engine(target, application_name=application_name)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection, or raise the `MemstoreError` that says why there is none.

    Raises:
        ServerUnreachableError, AuthenticationError, DatabaseMissingError: see their descriptions.
    """
    connection = engine.connect()
    with explained(engine.url, while_connecting=True):
        await connection.start()
    # What memstore does takes transactions, also with an engine whose own level is AUTOCOMMIT.
    await connection.execution_options(isolation_level="READ COMMITTED")
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def explained(url: URL, *, while_connecting: bool = False) -> Iterator[None]:
    """Turn what the driver raises about servers, rights and tables into a `MemstoreError`.

    While connecting, also what the operating system raises; later that may be about something else altogether.
    """
    system = (OSError, TimeoutError, UnicodeError) if while_connecting else ()
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, *system) as error:
        explanation = explain(error, url)
        if explanation is None:
            raise
        raise explanation from error


def explain(error: BaseException, url: URL) -> MemstoreError | None:
    """Return the `MemstoreError` for a driver's error, None where it is not about reaching or using the server."""
    cause = driver_error(error)
    what = (str(cause).splitlines() or [""])[0]  # without DETAIL and HINT: a message is one line
    where = url.render_as_string(hide_password=True)
    match cause:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return AuthenticationError(
                f"{where} refused user {url.username!r}: {what}. Check user and password in DATABASE_URL"
            )
        case asyncpg.InvalidCatalogNameError():
            return DatabaseMissingError(f"{where}: {what}. Run: createdb {shlex.quote(url.database or '')}")
        case asyncpg.InsufficientPrivilegeError() if "for database" in what:
            return PermissionDeniedError(
                f"{where}: {what}. Run as its owner: GRANT CREATE ON DATABASE {url.database} TO {url.username}"
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{where}: {what}. Do it as the owner of the tables, or let the role in: memstore db grant ROLE"
            )
        case asyncpg.UndefinedTableError() | asyncpg.InvalidSchemaNameError():
            return SchemaMismatchError(
                f"{where}: {what}. Run: memstore db upgrade", found=None, needed="the tables of memstore"
            )
        case asyncpg.CannotConnectNowError() | asyncpg.TooManyConnectionsError():
            return ServerUnreachableError(f"{where} takes no connections now: {what}. Try again, or check its log")
        case asyncpg.PostgresConnectionError() | asyncpg.AdminShutdownError() | asyncpg.CrashShutdownError():
            return ServerUnreachableError(f"the connection to {where} was lost: {what}. Run it again, or check its log")
        case asyncpg.UndefinedObjectError() if "configuration parameter" in str(cause):
            return SettingsError(f"{where}: {what}. Remove it from the database URL")
        case asyncpg.InternalClientError():  # what asyncpg makes of a server that goes away during a COPY
            return ServerUnreachableError(f"the connection to {where} was lost: {what}. Run it again, or check its log")
        case asyncpg.InterfaceError() if "in progress" in what and isinstance(cause.__context__, _DRIVERS_OWN):
            return explain(cause.__context__, url)  # the rollback of what failed failed too: the first says why
        case asyncpg.InterfaceError() if "closed" in what:
            return ServerUnreachableError(f"the connection to {where} was lost: {what}. Run it again, or check its log")
        case asyncpg.InterfaceError() if isinstance(cause, ValueError):  # asyncpg's ClientConfigurationError
            return SettingsError(f"{where}: {what}. Correct the database URL")
        case OSError() if cause.filename is not None:
            return SettingsError(f"{cause.filename}: {cause.strerror}. Correct the database URL, which names it")
        case UnicodeError():
            return ServerUnreachableError(f"{where} has no host that can be looked up: {what}. Correct DATABASE_URL")
        case OSError() | TimeoutError():
            reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else (str(cause) or "timed out")
            return ServerUnreachableError(f"no server answers at {where}: {reason}. Start it, or correct DATABASE_URL")
    return None


def driver_error(error: BaseException) -> BaseException:
    """Follow SQLAlchemy's wrappers down to what the driver raised."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _DRIVERS_OWN):
            return seen
        seen = (seen.orig if isinstance(seen, DBAPIError) else None) or seen.__cause__ or seen.__context__
    return error


def _seconds(text: str | tuple[str, ...]) -> float:
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and int(text[:9])):
        raise SettingsError(f"connect_timeout is {text!r}. Needed: a whole number of seconds, such as 10")
    return float(text)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
