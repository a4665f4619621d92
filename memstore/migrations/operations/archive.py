"""Rows of what a downgrade drops: kept in the schema memstore_archive, and brought back by the next upgrade."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ...database import driver_error
from ...errors import MigrationError
from ..pausing import sqlstate
from ..sql_text import escaped, quoted_table
from . import archive_sql

if TYPE_CHECKING:
    from typing import Literal

log = logging.getLogger("memstore.migrations")

_RESULT = text("SELECT current_setting(:name, true)")


@dataclass(frozen=True, slots=True)
class MovedRows:
    """Rows that a step has archived or restored.

    name: the table with its schema, and for a column with that, as SQL writes them.
    gone: of the archived values of a column, how many had no row any more to come back to.
    """

    direction: Literal["archived", "restored"]
    name: str
    archive: str
    rows: int
    gone: int = 0


class Archive(MigrateOperation):
    """Operations of the revision's own transaction: with what is dropped, its rows are archived, or neither is."""

    @classmethod
    def archive_table(cls, operations: Operations, table: str, *, schema: str | None = None) -> None:
        """Copy all rows of a table that is about to be dropped to the schema memstore_archive.

        A table without rows leaves nothing there. Nobody but the owner may read what is archived.

        Raises:
            MigrationError: an earlier archive of this table was not restored; or the transaction is not
                READ COMMITTED; or the archives belong to another role.
        """
        versions = _version_table(operations)
        _run(operations, "archived", archive_sql.archive_table(table, schema, versions))

    @classmethod
    def restore_table(cls, operations: Operations, table: str, *, schema: str | None = None) -> None:
        """Insert the rows that `archive_table` has kept of this table, if any, and drop what kept them.

        All columns that both have come back as they were, those of identity too, whose numbers go on after the last
        that was given out; triggers do not fire.

        Raises:
            MigrationError: a column that cannot be NULL and has no default is not in the archive; the archive
                belongs to another role; or the table has rows, or constraints, that archived rows do not agree with.
        """
        _run(operations, "restored", archive_sql.restore_table(table, schema))

    @classmethod
    def archive_column(cls, operations: Operations, table: str, column: str, *, schema: str | None = None) -> None:
        """Copy the values of a column that is about to be dropped to the schema memstore_archive.

        Each with the primary key of its row, which the table must have.

        Raises:
            MigrationError: as for `archive_table`; or the column is generated or part of the primary key.
        """
        versions = _version_table(operations)
        _run(operations, "archived", archive_sql.archive_column(table, column, schema, versions))

    @classmethod
    def restore_column(cls, operations: Operations, table: str, column: str, *, schema: str | None = None) -> None:
        """Write the values that `archive_column` has kept, if any, and drop what kept them.

        Triggers do not fire. Values of rows that were deleted meanwhile are gone, and counted in the log.
        """
        _run(operations, "restored", archive_sql.restore_column(table, column, schema))


def _version_table(operations: Operations) -> str:
    context = operations.get_context()
    return quoted_table(context.version_table_schema, context.version_table)


def _run(operations: Operations, direction: Literal["archived", "restored"], block: str) -> None:
    context = operations.get_context()
    try:
        context.impl.execute(text(escaped(block)))
    except DBAPIError as error:
        if sqlstate(error) != archive_sql.REFUSED:
            raise
        raise MigrationError(str(driver_error(error.orig or error)).splitlines()[0]) from error
    if context.as_sql or context.connection is None:
        return
    found = context.connection.scalar(_RESULT, {"name": archive_sql.RESULT})
    if not found:
        return
    result = json.loads(found)
    moved = MovedRows(direction, result["name"], result["archive"], result["rows"], result["gone"])
    log.info("%s %d rows of %s: %s", direction, moved.rows, moved.name, moved.archive)
    if moved.gone:
        log.warning("%d values of %s had no row to come back to: those were deleted meanwhile", moved.gone, moved.name)
    if result["kept_apart"] is not None:
        log.warning(
            "%s has no place for some columns of its archive, which stays: %s.%s",
            moved.name,
            archive_sql.ARCHIVE_SCHEMA,
            result["kept_apart"],
        )
    context.opts.get("memstore_moved", []).append(moved)
