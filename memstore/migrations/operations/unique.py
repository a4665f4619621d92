"""Unique constraints on tables in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations
from sqlalchemy.exc import IntegrityError

from ...errors import MigrationError
from ..sql_text import quoted
from .constraint_state import ConstraintRequest, check_as_asked, check_valid, find_constraint
from .index_definition import IndexRequest
from .indexes import build_index
from .stepwise import stepwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .work import Work


class SafeUniqueConstraints(MigrateOperation):
    """An operation on unique constraints that commits: it comes first in its revision, and can be run again."""

    @classmethod
    def add_unique_safely(
        cls,
        operations: Operations,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        schema: str | None = None,
        nulls_not_distinct: bool = False,
        deferrable: bool | None = None,
        initially: str | None = None,
    ) -> None:
        """Add a unique constraint: its index is built while the table is read and written, and then made one.

        Args:
            operations: given by Alembic.
            name: the name of the constraint, in full, and of its index.
            table: its table, which is not partitioned.
            columns: those that are unique together.
            schema: the schema of the table, the first of the search path when None.
            nulls_not_distinct: whether two nulls are the same.
            deferrable: whether it can be.
            initially: `DEFERRED` or `IMMEDIATE`.

        Raises:
            MigrationError: there are duplicates, which are counted, and nothing is left behind; there is another
                constraint or index of that name; the table is busy beyond the retries; or the revision has written
                something before it.
        """
        suffix = "" if deferrable is None else " DEFERRABLE" if deferrable else " NOT DEFERRABLE"
        if initially:
            suffix += f" INITIALLY {initially}"
        nulls = "NULLS NOT DISTINCT " if nulls_not_distinct else ""
        listed = ", ".join(map(quoted, columns))
        request = ConstraintRequest(name, table, schema, f"UNIQUE {nulls}({listed}){suffix}")
        options = {"nulls_not_distinct": True} if nulls_not_distinct else {}
        index = IndexRequest(name, table, tuple(columns), schema, unique=True, options=options)
        add = request.add(f"UNIQUE USING INDEX {quoted(name)}{suffix}")
        with stepwise(operations, "add_unique_safely", request.label, request.table_sql) as work:
            if _is_there(work, request):
                return
            try:
                build_index(work, index)
            except IntegrityError as error:
                raise MigrationError(_duplicates(work, request, listed, columns, nulls_not_distinct)) from error
            work.briefly(
                request.unless_there(add) if work.offline else add, tables=(request.table_sql,), phase="adding"
            )
        check_valid(operations, request)


def _is_there(work: Work, request: ConstraintRequest) -> bool:
    found = None if work.offline else find_constraint(work, request)
    if found is None:
        return False
    check_as_asked(work, request, found)
    work.report("there already")
    return True


def _duplicates(
    work: Work, request: ConstraintRequest, listed: str, columns: Sequence[str], nulls_not_distinct: bool
) -> str:
    there = "" if nulls_not_distinct else " WHERE " + " AND ".join(f"{quoted(each)} IS NOT NULL" for each in columns)
    groups = f"SELECT {listed}, count(*) AS rows FROM {request.table_sql}{there} GROUP BY {listed} HAVING count(*) > 1"
    values, most = tuple(work.execute(f"SELECT count(*), max(rows) FROM ({groups}) AS duplicates")[0])
    return (
        f"{work.name} {work.target}: {values} values of ({listed}) are there more than once, one of them "
        f"{most} times. To find them: {groups}. Delete or change all but one of each, before it"
    )
