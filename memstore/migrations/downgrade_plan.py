"""What a downgrade would take: which rows it would archive or lose, told before anything is done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from alembic.script.revision import RevisionError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import connecting, driver_error, explained, open_connection
from ..errors import MigrationError
from ..models import SCHEMA
from .catalog.objects import DbObject, load_objects
from .catalog.shipped import description_path
from .check import read_only
from .levels import Level, check_way_back, level_of
from .pausing import sqlstate
from .scripts import script_directory
from .status import check_known, current_revision
from .sums import check_evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.script import Script
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .catalog.objects import Attributes

_INSUFFICIENT_PRIVILEGE = "42501"
_CODE = ("function", "view", "matview", "type")  # what goes without rows of its own


class Fate(StrEnum):
    """What becomes of rows whose table or column goes."""

    ARCHIVED = "archived"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RowsAtStake:
    """A table that a downgrade drops, or a column of one that stays.

    rows: how many the table has, or how many of its rows have a value there, counted.
    """

    table: str
    column: str | None
    rows: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One revision to be taken down.

    at_stake: tables and columns that go with it. removes: functions and views that go.
    """

    revision: str
    level: Level
    at_stake: tuple[RowsAtStake, ...]
    removes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DowngradePlan:
    """What a downgrade would do, in order; no steps where there is nothing to do.

    start: the revision that the database is at.
    notes: what no upgrade brings back although no rows are lost.
    """

    start: str | None
    steps: tuple[PlannedStep, ...]
    notes: tuple[str, ...]


async def plan_downgrade(target: AsyncEngine | AsyncConnection | URL | str, to: str) -> DowngradePlan:
    """Return what `downgrade(target, to)` would take, with all rows counted, and change nothing.

    Rows are counted in one read-only transaction; what comes in after it is archived or lost as well. On a connection
    they are counted in its transaction.

    Raises:
        MigrationError: an unknown revision; an irreversible one is on the way; or a table is locked.
        SchemaMismatchError: the database is at a revision that this version does not know.
    """
    if isinstance(target, AsyncConnection):
        return await target.run_sync(_plan, to)
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            async with read_only(connection):
                return await connection.run_sync(_plan, to)


def _plan(connection: Connection, to: str) -> DowngradePlan:
    check_evidence(connection)
    check_known(connection)
    start = current_revision(connection)
    scripts = _way(start, to)
    check_way_back(scripts)
    # A role that row level security applies to would count its own rows alone: so it fails.
    before = connection.scalar(text("SELECT current_setting('row_security')"))
    connection.execute(text("SET LOCAL row_security = off"))
    is_owner = connection.scalar(_IS_OWNER)
    try:
        steps = [_step(connection, script) for script in scripts]
    except DBAPIError as error:
        if not is_owner or sqlstate(error) != _INSUFFICIENT_PRIVILEGE or "row-level security" not in str(error.orig):
            raise
        raise MigrationError(
            f"the rows cannot be counted: {driver_error(error)}, which is forced on its owner too. Nothing was done. "
            "Type: ALTER TABLE ... NO FORCE ROW LEVEL SECURITY, or, to go down without this: "
            f"memstore db downgrade {to} --yes --json"
        ) from error
    dropped = [each.table for step in steps for each in step.at_stake if each.column is None]
    connection.execute(text(f"SET LOCAL row_security = {before}"))
    return DowngradePlan(start, tuple(steps), (*_rights(connection, dropped), *_indexes(connection, dropped, scripts)))


def _way(start: str | None, to: str) -> list[Script]:
    directory = script_directory()
    try:
        return list(directory.iterate_revisions(start or (), to, select_for_downgrade=True))
    except RevisionError as error:
        if directory.get_current_head() == start and to in ("head", "heads"):
            return []
        raise MigrationError(f"cannot go down from {start} to {to!r}: {error}. Run: memstore db status") from error


def _step(connection: Connection, script: Script) -> PlannedStep:
    level, added = level_of(script), _added(script)
    fate = Fate.ARCHIVED if level is Level.REVERSIBLE_WITH_ARCHIVE else Fate.LOST
    tables = [each.name for each in added if each.kind == "table" and each.name != f"{SCHEMA}.alembic_version"]
    views = {each.name for each in added if each.kind in _CODE}
    gone = [(table, None) for table in tables] + [
        (each.on, each.name)
        for each, has in added.items()
        if each.kind == "column" and each.on not in (*tables, *views, f"{SCHEMA}.alembic_version")
        if "generated" not in has  # which follows from what stays
    ]
    return PlannedStep(
        script.revision,
        level,
        tuple(RowsAtStake(table, column, _count(connection, table, column), fate) for table, column in gone),
        tuple(str(each) for each in added if each.kind in _CODE),
    )


def _added(script: Script) -> Mapping[DbObject, Attributes]:
    """Return what a revision adds, by its description; an object that was there before is in an earlier one."""
    directory, before = script_directory(), set[DbObject]()
    for earlier in directory.iterate_revisions(script.revision, "base"):
        if earlier.revision != script.revision:
            before |= _described(earlier.revision).keys()
    changes = _described(script.revision)
    return {each: has for each, has in changes.items() if has is not None and each not in before}


@cache
def _described(revision: str) -> Mapping[DbObject, Attributes | None]:
    path = description_path(revision)
    if not path.is_file():
        raise MigrationError(f"there is no description of {revision}: {path} is missing. Run: make catalog")
    return load_objects(path.read_text(encoding="utf-8"))


def _count(connection: Connection, table: str, column: str | None) -> int:
    return int(
        connection.scalar(text(f"SELECT count({column or '*'}) FROM {table}")) or 0
    )  # names are SQL in descriptions


_IS_OWNER = text(f"SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = '{SCHEMA}'")

_GRANTEES = text("""
    SELECT DISTINCT grantee::regrole::text AS role FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = ANY (CAST(:tables AS regclass[])) AND grantee NOT IN (0, relowner) ORDER BY 1
""")
_INDEXES = text("""
    SELECT indexrelid::regclass::text FROM pg_index
    WHERE indrelid = ANY (CAST(:tables AS regclass[]))
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) ORDER BY 1
""")


def _rights(connection: Connection, tables: list[str]) -> tuple[str, ...]:
    roles = connection.scalars(_GRANTEES, {"tables": tables})
    return tuple(f"rights of {role} on these tables go; to give them again: memstore db grant {role}" for role in roles)


def _indexes(connection: Connection, tables: list[str], scripts: list[Script]) -> tuple[str, ...]:
    shipped = {each.name for script in scripts for each in _described(script.revision) if each.kind == "index"}
    found = connection.scalars(_INDEXES, {"tables": tables})
    return tuple(f"index {name} goes, and no revision makes it again" for name in found if name not in shipped)
