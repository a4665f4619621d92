"""NOT NULL on tables in use."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
from ..sql_text import literal, quoted, quoted_table
from .constraint_state import ConstraintRequest, check_script, find_constraint
from .stepwise import stepwise
from .validated import add_validated, validate_rows

if TYPE_CHECKING:
    from .work import Work

_PREFIX = "memstore_not_null_"
_MAX_NAME = 63  # bytes, beyond which PostgreSQL cuts

# From PostgreSQL 18 on NOT NULL is a constraint too, and may be one for new rows alone.
_FIND = """
    SELECT attnotnull AS is_set, (
        SELECT conname::text FROM pg_constraint
        WHERE conrelid = attrelid AND conkey = ARRAY[attnum] AND contype = 'n' AND NOT convalidated
    ) AS unvalidated
    FROM pg_attribute
    WHERE attrelid = to_regclass(:table) AND attname = :column AND attnum > 0 AND NOT attisdropped
"""


class SafeNotNull(MigrateOperation):
    """Operations on NOT NULL that commit: they come first in their revision, and can be run again after a kill."""

    @classmethod
    def set_not_null_safely(cls, operations: Operations, table: str, column: str, *, schema: str | None = None) -> None:
        """Set NOT NULL, having looked at the rows while the table was read and written.

        A CHECK constraint is added for new rows, then for those that are there; NOT NULL, which that proves, is then
        set without another look, and the constraint is dropped.

        Raises:
            MigrationError: there are nulls, which are counted, and nothing is left behind; there is no such column;
                the table is busy beyond the retries; or the revision has written something before it.
        """
        target, table_sql = quoted_table(schema, table) + "." + quoted(column), quoted_table(schema, table)
        with stepwise(operations, "set_not_null_safely", target, table_sql) as work:
            _set(work, ConstraintRequest(_name(column), table, schema, f"CHECK ({quoted(column)} IS NOT NULL)"), column)
        check_script(
            operations,
            f"NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({literal(table_sql)}) "
            f"AND attname = {literal(column)} AND attnotnull)",
            f"{target} is not NOT NULL",
            f"mend the nulls, then run: ALTER TABLE {table_sql} ALTER COLUMN {quoted(column)} SET NOT NULL",
        )

    @classmethod
    def drop_not_null_safely(
        cls, operations: Operations, table: str, column: str, *, schema: str | None = None
    ) -> None:
        """Drop NOT NULL without making anybody wait for long. A column without one is left as it is.

        Raises:
            MigrationError: there is no such column; the table is busy beyond the retries; or the revision has written
                something before it.
        """
        target, table_sql = quoted_table(schema, table) + "." + quoted(column), quoted_table(schema, table)
        with stepwise(operations, "drop_not_null_safely", target, table_sql, locks_rows=False) as work:
            if work.offline or _state(work, table_sql, column)[0]:
                drop = f"ALTER TABLE {table_sql} ALTER COLUMN {quoted(column)} DROP NOT NULL"
                work.briefly(drop, tables=(table_sql,), phase="dropping")
        check_script(
            operations,
            f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({literal(table_sql)}) "
            f"AND attname = {literal(column)} AND attnotnull)",
            f"{target} is NOT NULL still",
            "run this script again",
        )


def _set(work: Work, check: ConstraintRequest, column: str) -> None:
    table, name = check.table_sql, quoted(column)
    set_it = f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL"
    violating = f"FROM {table} WHERE {name} IS NULL"
    mend = (
        f"before it: op.backfill({check.table!r}, {{{column!r}: '...'}}, where={f'{name} IS NULL'!r}, "
        f"schema={check.schema!r})"
    )
    if work.inline:
        work.execute(set_it)
        return
    if not work.offline:
        is_set, unvalidated = _state(work, table, column)
        if unvalidated is not None:
            own = ConstraintRequest(unvalidated, check.table, check.schema, f"NOT NULL {name}")
            validate_rows(work, own, is_ours=False, violating=violating, mend=mend)
        if is_set:
            if find_constraint(work, check) is not None:
                work.briefly(check.drop(), tables=(table,), phase="dropping what a killed run left behind")
            return
    add_validated(work, check, violating=violating, mend=mend)
    # Not in one ALTER TABLE: that drops first, and would then look at every row under its lock.
    work.briefly(set_it, check.drop(), tables=(table,), phase="setting")


def _state(work: Work, table: str, column: str) -> tuple[bool, str | None]:
    rows = work.execute(_FIND, {"table": table, "column": column})
    if not rows:
        raise MigrationError(f"{work.name} {work.target}: there is no column {quoted(column)} in {table}")
    return rows[0].is_set, rows[0].unvalidated


def _name(column: str) -> str:
    name = _PREFIX + column
    return name if len(name.encode()) <= _MAX_NAME else _PREFIX + hashlib.sha256(column.encode()).hexdigest()[:40]
