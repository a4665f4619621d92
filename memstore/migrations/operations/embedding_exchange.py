"""The instant in which a column of embeddings takes the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sql_text import quoted, quoted_table
from .embedding_column import MARK, comment_sql, suffixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .embedding_column import Carried, WidthChange

ROWS_LEFT = "MSW01"  # the SQLSTATE of a last look that finds rows which are not done

_LAST_ROWS = 50  # how many are done while everybody waits; each goes into every index


def exchange_statements(
    change: WidthChange,
    before: Any,
    fill: tuple[str, str] | None,
    indexes: Sequence[Carried],
    checks: Sequence[Carried],
) -> list[str]:
    """Return the statements that put the new column in the place of the old one, in one transaction.

    Args:
        change: what is done.
        before: the old column, as it was found.
        fill: where SQL can do the last rows, the assignment, and the condition of the rows that it can do.
        indexes: those that are built on the new column.
        checks: those that are on the new column.
    """
    table, alter = change.table_sql, f"ALTER TABLE {change.table_sql}"
    column, new, old = (quoted(each) for each in (change.column, change.new, change.old))
    left = change.is_left
    first = [f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE", "SET LOCAL enable_seqscan = off"]
    if fill is not None:
        assignment, left = fill
        first.append(
            f"UPDATE {table} SET {assignment} WHERE {left} "
            f"AND ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {left} LIMIT {_LAST_ROWS}))"
        )
        first.append("SET CONSTRAINTS ALL IMMEDIATE")  # what is checked later is in the way of ALTER TABLE
    if before.is_not_null:
        left = change.is_left
    first.append(
        f"DO $$ BEGIN IF EXISTS (SELECT FROM {table} WHERE {left}) THEN "
        f"RAISE EXCEPTION 'rows are left' USING ERRCODE = '{ROWS_LEFT}'; END IF; END $$"
    )
    exchange = [
        f"DROP TRIGGER {quoted(change.trigger)} ON {table}",
        f"DROP FUNCTION {quoted_table(change.schema, change.trigger)}()",
        f"{alter} RENAME COLUMN {column} TO {old}",
        f"{alter} RENAME COLUMN {new} TO {column}",
        f"{alter} ALTER COLUMN {old} DROP NOT NULL",
        comment_sql(f"COLUMN {table}.{old}", f"{MARK} from {before.full_type}"),
        comment_sql(f"COLUMN {table}.{column}", before.comment),
    ]
    if before.is_not_null:
        exchange.append(f"{alter} ADD CONSTRAINT {quoted(change.not_null)} CHECK ({column} IS NOT NULL) NOT VALID")
    for check in checks:
        name, beside = quoted(check.name), quoted(suffixed(check.name, "_new"))
        exchange += [f"{alter} DROP CONSTRAINT {name}", f"{alter} RENAME CONSTRAINT {beside} TO {name}"]
        exchange.append(comment_sql(f"CONSTRAINT {name} ON {table}", check.comment))
    for index in indexes:
        label = quoted_table(change.schema, index.name)
        exchange += [
            f"ALTER INDEX {label} RENAME TO {quoted(suffixed(index.name, '_old'))}",
            f"ALTER INDEX {quoted_table(change.schema, suffixed(index.name, '_new'))} RENAME TO {quoted(index.name)}",
        ]
    return [*first, *exchange]
