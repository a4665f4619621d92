"""Comparing a database with what memstore ships for its revision. Never writes to it, nor locks what it compares."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncpg import LockNotAvailableError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ..database import connecting, driver_error, explained, open_connection
from ..errors import MigrationError, SchemaMismatchError
from ..models import MIRROR_TRIGGERS, SCHEMA
from .catalog import Catalog, Change, DbObject, Difference, Problem, compare_catalogs, read_catalog, shipped_catalog
from .catalog.compare import vector_indexes
from .grants import expected_grants
from .status import check_known, current_revision
from .width import installed_embedding_dim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from .catalog.objects import Attributes

LOCK_TIMEOUT_MS = 2_000
VERSION_TABLE = f"{SCHEMA}.alembic_version"


@dataclass(frozen=True, slots=True)
class SchemaCheck:
    """How the schema in a database compares with what memstore ships for its revision.

    objects: how many were compared.
    differences: what is not as it should be, in an order in which it can be mended; empty when all is well.
    vector_indexes: those in the database. They depend on the rows, and are compared with nothing.
    """

    revision: str
    embedding_dim: int
    objects: int
    differences: tuple[Difference, ...]
    vector_indexes: tuple[str, ...]


async def check(target: AsyncEngine | URL | str) -> SchemaCheck:
    """Compare the schema in a database with what memstore ships for the revision that it is at.

    In a read-only transaction, which takes no lock but ACCESS SHARE.

    Raises:
        SchemaMismatchError: memstore is not installed there, or at a revision that this version does not know.
        MigrationError: a table is locked, or the database was migrated meanwhile.
    """
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            async with read_only(connection):
                await connection.run_sync(check_known)
                revision = await connection.run_sync(current_revision)
                if revision is None:
                    raise SchemaMismatchError(
                        "there is nothing to check: this database is at no revision of memstore. Run: memstore db "
                        "upgrade (or, for tables that were made by hand: memstore db adopt --at REV)",
                        found=None,
                        needed="a revision",
                    )
                found = await connection.run_sync(compare_with, revision)
            if found.differences:
                async with read_only(connection):
                    now = await connection.run_sync(current_revision)
                if now != revision:
                    raise MigrationError(f"the database went from {revision} to {now} meanwhile. Run it again")
    return found


@asynccontextmanager
async def read_only(connection: AsyncConnection) -> AsyncIterator[None]:
    """Run a block in a transaction that cannot write and does not wait long for a lock.

    Raises:
        MigrationError: somebody holds a lock that is in the way, for longer than two seconds.
    """
    await connection.rollback()
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    await connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
    try:
        yield
    except DBAPIError as error:
        if isinstance(driver_error(error), LockNotAvailableError):
            raise MigrationError(
                f"a table of {SCHEMA} is locked, perhaps by a migration. Run it again when that is over: "
                "memstore db status"
            ) from error
        raise
    finally:
        if not connection.invalidated:
            await connection.rollback()


def compare_with(connection: Connection, revision: str) -> SchemaCheck:
    """Compare the schema behind a connection with what memstore ships for `revision`. Reads only.

    A version table that is not there is no difference: who adopts a schema has none. Nor is it one whether the triggers
    of the mirror are on, as long as all of them are or none.
    """
    found = read_catalog(connection, SCHEMA)
    setting = (
        installed_embedding_dim(connection) if DbObject("table", "", f"{SCHEMA}.settings") in found.objects else None
    )
    width, problem = _width(setting, found)
    shipped = dict(shipped_catalog(revision, width).objects)
    if DbObject("table", "", VERSION_TABLE) not in found.objects:
        shipped = {each: has for each, has in shipped.items() if VERSION_TABLE not in (each.on, each.name)}
    shipped |= expected_grants(found.objects, shipped)
    shipped |= _mirror_triggers(found, shipped)
    needed = Catalog(shipped, found.owner)
    differences = compare_catalogs(found, needed)
    return SchemaCheck(
        revision=revision,
        embedding_dim=width,
        objects=len(found.objects.keys() | shipped.keys()),
        differences=(*differences, *problem),
        vector_indexes=vector_indexes(found, needed),
    )


def _mirror_triggers(found: Catalog, shipped: Mapping[DbObject, Attributes]) -> dict[DbObject, Attributes]:
    """Return the triggers of the mirror as the operator has turned them: all on where one of them is, else off."""
    triggers = {each: has for each, has in shipped.items() if each.kind == "trigger" and each.name in MIRROR_TRIGGERS}
    if any("enabled" not in found.objects.get(each, {"enabled": "never"}) for each in triggers):
        return {each: {"definition": has["definition"]} for each, has in triggers.items()}
    return triggers


def _width(setting: int | None, found: Catalog) -> tuple[int, tuple[Difference, ...]]:
    """Return how wide embeddings are to be: as the database says, unless no column of it agrees."""
    pattern = re.compile(r"(?:vector|bit)\((\d+)\)")
    widths = Counter(
        int(match[1])
        for each, has in found.objects.items()
        if each.kind == "column" and (match := pattern.fullmatch(has["type"]))
    )
    if setting is not None and (setting in widths or not widths):
        return setting, ()
    width = widths.most_common(1)[0][0] if widths else 1
    missing = setting is None
    statement = (
        f"INSERT INTO {SCHEMA}.settings (key, value) VALUES ('embedding_dim', '{width}') "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    return width, (
        Difference(
            f"row embedding_dim of {SCHEMA}.settings",
            Problem.MISSING if missing else Problem.DIFFERENT,
            () if missing else (Change("value", setting, width),),
            (statement,),
        ),
    )
