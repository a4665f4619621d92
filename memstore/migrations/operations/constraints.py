"""Constraints on tables in use: added and dropped without stopping anybody who reads or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations

from ..sql_text import literal
from .constraint_state import ConstraintRequest, check_script, check_valid, find_constraint
from .stepwise import stepwise
from .validated import add_validated

if TYPE_CHECKING:
    from .work import Work

_REFERENT = """
    SELECT confrelid::regclass::text FROM pg_constraint
    WHERE conrelid = to_regclass(:table) AND conname = :name AND contype = 'f' AND confrelid <> conrelid
"""


class SafeConstraints(MigrateOperation):
    """Operations on constraints that commit: they come first in their revision, and can be run again after a kill."""

    @classmethod
    def add_check_safely(
        cls, operations: Operations, name: str, table: str, condition: str, *, schema: str | None = None
    ) -> None:
        """Add a CHECK constraint, and look at the rows that are there while the table is read and written.

        One of that name that is the same is left as it is, and looked at the rows for where a kill prevented it.

        Args:
            operations: given by Alembic.
            name: the name of the constraint, in full.
            table: its table.
            condition: what is true of each row, or null, in SQL.
            schema: the schema of the table, the first of the search path when None.

        Raises:
            MigrationError: rows violate it, which are counted, and nothing is left behind; there is another constraint
                of that name; the table is busy beyond the retries; or the revision has written something before it.
        """
        request = ConstraintRequest(name, table, schema, f"CHECK ({condition})")
        with stepwise(operations, "add_check_safely", request.label, request.table_sql) as work:
            add_validated(
                work,
                request,
                violating=f"FROM {request.table_sql} WHERE NOT ({condition})",
                mend=f"before it: op.backfill({table!r}, ..., where={f'NOT ({condition})'!r}, schema={schema!r})",
            )
        check_valid(operations, request)

    @classmethod
    def drop_constraint_safely(
        cls, operations: Operations, name: str, table: str, *, schema: str | None = None
    ) -> None:
        """Drop a constraint without making anybody wait for long. One that is not there was dropped before a kill.

        A foreign key locks both of its tables, for the moment that it takes.

        Raises:
            MigrationError: there is no such table; it is busy beyond the retries; or the revision has written something
                before it.
        """
        request = ConstraintRequest(name, table, schema, "")
        with stepwise(operations, "drop_constraint_safely", request.label, request.table_sql, locks_rows=False) as work:
            _drop(work, request)
        check_script(
            operations,
            f"EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass({literal(request.table_sql)}) "
            f"AND conname = {literal(name)})",
            f"the constraint {request.label} is still there",
            "run this script again",
        )


def _drop(work: Work, request: ConstraintRequest) -> None:
    tables = [request.table_sql]
    if not work.offline:
        # IF EXISTS would lock everybody out of the table only to find nothing.
        if find_constraint(work, request) is None:
            work.report("gone already")
            return
        parameters = {"table": request.table_sql, "name": request.name}
        tables += [row[0] for row in work.execute(_REFERENT, parameters)]
    work.briefly(request.drop(), tables=tables, phase="dropping")
