"""What an index in the database is, and whether it is what it was asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..lock import POLL_S
from ..pausing import sleep
from ..sql_text import escaped, literal
from .temporary import rolled_back

if TYPE_CHECKING:
    from alembic.operations import Operations

    from .index_definition import IndexRequest
    from .work import Work

_PROBE = "memstore_probe"

_FIND = """
    SELECT i.indisvalid, pg_get_indexdef(i.indexrelid) AS definition, i.indrelid = to_regclass(:on) AS is_on_table,
           (SELECT conname::text FROM pg_constraint
            WHERE conindid = i.indexrelid AND conrelid = i.indrelid) AS "constraint",
           EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND transactionid = i.xmax) AS is_changing
    FROM pg_index AS i WHERE i.indexrelid = to_regclass(:name)
"""

# In the transaction of the stamp: a script that went on after an error is not stamped either.
_CHECK = """
DO $check$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass({name}) AND indisvalid) THEN
        RAISE EXCEPTION 'the index % is not valid', {name}
            USING HINT = 'drop it, and build it again: DROP INDEX CONCURRENTLY ' || {name};
    END IF;
END
$check$
"""

_CHECK_GONE = """
DO $check$
BEGIN
    IF to_regclass({name}) IS NOT NULL THEN
        RAISE EXCEPTION 'the index % is still there', {name} USING HINT = 'run this script again';
    END IF;
END
$check$
"""
_DROP_INVALID = """
DO $drop$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass({name}) AND NOT indisvalid) THEN
        LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE;
        IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass({name}) AND NOT indisvalid) THEN
            EXECUTE 'DROP INDEX ' || {name};
        END IF;
    END IF;
END
$drop$
"""


@dataclass(frozen=True, slots=True)
class FoundIndex:
    """An index in the database.

    constraint: the one that it belongs to.
    is_changing: a transaction is under way that marks it valid or not.
    """

    is_valid: bool
    definition: str
    constraint: str | None
    is_changing: bool


def find_index(work: Work, request: IndexRequest) -> FoundIndex | None:
    """Return the index of that name, None where there is none.

    Raises:
        MigrationError: it is on another table.
    """
    rows = work.execute(_FIND, {"name": request.label, "on": request.table_sql})
    if not rows:
        return None
    (row,) = rows
    if not row.is_on_table:
        raise MigrationError(f"there is an index {request.label} already, on another table: {row.definition}")
    return FoundIndex(row.indisvalid, row.definition, row.constraint, row.is_changing)


def drop_leftover(work: Work, request: IndexRequest) -> None:
    """Drop an invalid index of that name, once nobody is building it any more."""
    found = find_index(work, request)
    if found is None or found.is_valid:
        return
    # Whoever builds an index on the table holds this lock: what is invalid after it was left behind by a kill,
    work.transaction(f"LOCK TABLE {request.table_sql} IN SHARE UPDATE EXCLUSIVE MODE")
    found = find_index(work, request)
    while found is not None and found.is_changing:  # unless it is about to be made valid, which comes after the lock
        sleep(work.connection, POLL_S)
        found = find_index(work, request)
    if found is not None and not found.is_valid:
        work.report("dropping what a killed build left behind")
        work.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {request.label}")


def is_as_asked(work: Work, request: IndexRequest, found: FoundIndex) -> bool:
    """Tell whether an index is the one that is asked for, by the server's own words for both.

    For those, the index is made on an empty temporary table, which is rolled back.
    """
    with rolled_back(work):
        work.execute(f"CREATE TEMPORARY TABLE {_PROBE} (LIKE {request.table_sql} INCLUDING GENERATED)")
        probe = request.named(_PROBE + "_index").on(_PROBE, "pg_temp")
        work.execute(probe.create(concurrently=False, if_not_exists=False))
        asked = work.execute(f"SELECT pg_get_indexdef('pg_temp.{_PROBE}_index'::regclass)")[0][0]
    return _without_names(asked) == _without_names(found.definition)


def valid(request: IndexRequest) -> str:
    """Return the statement that fails unless the index is there and valid."""
    return _CHECK.format(name=literal(request.label))


def drop_invalid(request: IndexRequest) -> str:
    """Return the statement for scripts that drops an index of that name which is not valid.

    Whoever is building it keeps it from being dropped, by a lock on the table.
    """
    return _DROP_INVALID.format(table=request.table_sql, name=literal(request.label))


def check_valid(operations: Operations, request: IndexRequest) -> None:
    """Let the revision fail, before it is stamped, unless the index is there and valid."""
    operations.execute(escaped(valid(request)))


def check_gone(operations: Operations, index: str) -> None:
    """Let a script fail, before it stamps the revision, where an index is still there."""
    if operations.get_context().as_sql:
        operations.execute(escaped(_CHECK_GONE.format(name=literal(index))))


def _without_names(definition: str) -> tuple[bool, str]:
    head, _, rest = definition.partition(" USING ")
    return head.startswith("CREATE UNIQUE"), rest
