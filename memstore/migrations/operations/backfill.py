"""Giving the rows of a table in use their values: a few at a time, so that nobody waits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
from .backfill_request import BackfillRequest, assignments_sql, find_key
from .backfill_script import backfill_script
from .backfill_walk import Walk
from .constraint_state import check_script
from .stepwise import stepwise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .work import Work

log = logging.getLogger("memstore.migrations")


class Backfill(MigrateOperation):
    """An operation on rows that commits: it comes first in its revision, and can be run again after a kill."""

    @classmethod
    def backfill(
        cls,
        operations: Operations,
        table: str,
        assignments: str | Mapping[str, str],
        *,
        where: str,
        schema: str | None = None,
        key: str | Sequence[str] | None = None,
        batch_rows: int | None = None,
    ) -> None:
        """Update the rows of a table in batches, each in a transaction of its own that takes about 100 ms.

        It waits for no row while it holds another: those that somebody has locked are passed over, and come last. Run
        again after a kill it goes on with the rows that are left. Triggers fire as for any UPDATE.

        Rows that come in meanwhile must come in done, or soon stop coming in: give the column its default, or let the
        application write it, before.

        Args:
            operations: given by Alembic.
            table: the table.
            assignments: what stands after SET, as in "a = b + 1", or columns and expressions in SQL.
            where: which rows are still to be done, in SQL: true before, and false for a row that is done.
            schema: the schema of the table, the first of the search path when None.
            key: columns to walk through the table by, NOT NULL and with a unique index; the primary key when None.
                A script (`--sql`) has no need of one.
            batch_rows: how many rows a batch has; when None as many as take about 100 ms.

        Raises:
            MigrationError: a row that was updated still satisfies `where`; rows stay locked beyond the retries, by
                whom is said; the table has no key; policies may hide rows from this role; or the revision has written
                something before it.
        """
        if batch_rows is not None and batch_rows < 1:
            raise MigrationError(f"backfill {table}: batch_rows is {batch_rows}. Needed: 1 or more")
        request = BackfillRequest(table, schema, assignments_sql(assignments), where)
        with stepwise(operations, "backfill", request.table_sql, request.table_sql) as work:
            _backfill(work, request, [key] if isinstance(key, str) else key, batch_rows)
        check_script(
            operations,
            f"EXISTS (SELECT {request.rows})",
            f"rows of {request.table_sql} are still to be done",
            f"to find them: SELECT * {request.rows}",
        )


def _backfill(work: Work, request: BackfillRequest, key: Sequence[str] | None, batch_rows: int | None) -> None:
    if work.offline and not work.inline:
        for statement in backfill_script(request):
            work.execute(statement)
        return
    if not work.offline and _are_rows_hidden(work, request):
        raise MigrationError(
            f"{work.name} {work.target}: row level security holds for this role too, and would hide rows that are to "
            "be done. Run it as a role with BYPASSRLS, or before it: "
            f"ALTER TABLE {request.table_sql} NO FORCE ROW LEVEL SECURITY"
        )
    if work.inline:  # a table without rows: this tells whether the SQL is right
        work.execute(f"UPDATE {request.table_sql} SET {request.assignments} WHERE ({request.where})")
        return
    done = Walk(work, request, find_key(work, request, key), batch_rows).run()
    log.info("%s %s: %d rows done", work.name, work.target, done)


def _are_rows_hidden(work: Work, request: BackfillRequest) -> bool:
    parameters = {"table": request.table_sql}
    return bool(work.execute("SELECT row_security_active(CAST(:table AS text))", parameters)[0][0])
