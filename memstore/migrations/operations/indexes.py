"""Indexes on tables in use: built, dropped and exchanged without stopping anybody who reads or writes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import is_busy
from ..sql_text import literal, quoted, quoted_table
from .index_definition import IndexRequest
from .index_state import check_gone, check_valid, drop_invalid, drop_leftover, find_index, is_as_asked, valid
from .stepwise import stepwise

log = logging.getLogger("memstore.migrations")

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.elements import ColumnElement, TextClause

    from .work import Work

_MAX_NAME = 63  # bytes, beyond which PostgreSQL cuts


class ConcurrentIndexes(MigrateOperation):
    """Operations on indexes that commit: they come first in their revision, and can be run again after a kill."""

    @classmethod
    def create_index_concurrently(
        cls,
        operations: Operations,
        name: str,
        table: str,
        columns: Sequence[str | TextClause | ColumnElement[Any]],
        *,
        schema: str | None = None,
        unique: bool = False,
        comment: str | None = None,
        **options: Any,
    ) -> None:
        """Build an index while the table is read and written, and see that it is valid.

        An invalid index of that name, which a killed build leaves behind, is dropped first; a valid one that is the
        same is left as it is. A build that fails leaves nothing behind; one that is killed or interrupted may leave an
        invalid index, which the next run drops.

        Args:
            operations: given by Alembic.
            name: the name of the index, in full.
            table: the table, which is not partitioned.
            columns: names of columns, and expressions as `sa.text`, as for `op.create_index`.
            schema: the schema of the table, the first of the search path when None.
            unique: whether it is one.
            comment: what it is for.
            options: using, ops, where, with_, include, nulls_not_distinct, tablespace; with or without `postgresql_`
                before them, as for `op.create_index`.

        Raises:
            MigrationError: there is another index of that name, or no such table or column; the table is busy beyond
                the retries; or the revision has written something before it.
        """
        request = IndexRequest(name, table, tuple(columns), schema, unique, options)
        with stepwise(operations, "create_index_concurrently", request.label, request.table_sql) as work:
            build_index(work, request)
            _comment(work, request, comment)
        check_valid(operations, request)

    @classmethod
    def drop_index_concurrently(
        cls, operations: Operations, name: str, table: str | None = None, *, schema: str | None = None
    ) -> None:
        """Drop an index while its table is read and written. One that is not there was dropped before a kill.

        Raises:
            MigrationError: there is no such table, or the index is on another one; a transaction that uses the table
                did not end in time; or the revision has written something before it.
        """
        index = quoted_table(schema, name)
        on = quoted_table(schema, table) if table is not None else index
        with stepwise(
            operations, "drop_index_concurrently", index, on, locks_rows=False, is_table=table is not None
        ) as work:
            if table is not None and not work.offline:
                find_index(work, IndexRequest(name, table, (), schema, unique=False, options={}))
            concurrently = "" if work.inline else " CONCURRENTLY"
            statement = f"DROP INDEX{concurrently} IF EXISTS {index}"
            work.patiently(lambda: work.execute(statement), phase="waiting for transactions to end")
        check_gone(operations, index)

    @classmethod
    def swap_index_concurrently(
        cls,
        operations: Operations,
        name: str,
        table: str,
        columns: Sequence[str | TextClause | ColumnElement[Any]],
        *,
        schema: str | None = None,
        unique: bool = False,
        comment: str | None = None,
        **options: Any,
    ) -> None:
        """Give an index another definition: build it beside the old one, exchange their names, drop the old one.

        Queries have one of the two at any time. The arguments are those of `create_index_concurrently`.

        Raises:
            MigrationError: as `create_index_concurrently`, or the index belongs to a constraint.
        """
        request = IndexRequest(name, table, tuple(columns), schema, unique, options)
        with stepwise(operations, "swap_index_concurrently", request.label, request.table_sql) as work:
            _swap(work, request)
            _comment(work, request, comment)
        check_valid(operations, request)
        check_gone(operations, _beside(request).label)


def build_index(work: Work, request: IndexRequest) -> None:
    """Build an index, unless it is there, and see that it is valid. A build that fails leaves nothing behind."""
    if work.offline:
        if not work.inline:
            work.briefly(drop_invalid(request), tables=(), phase="dropping what a failed build left behind")
        work.execute(request.create(concurrently=not work.inline, if_not_exists=True))
        return
    if work.inline:
        work.execute(drop_invalid(request))
        if not _is_there(work, request):
            work.execute(request.create(concurrently=False, if_not_exists=False))
        return

    def build() -> None:
        if not _is_there(work, request):
            work.execute(request.create(concurrently=True, if_not_exists=False))

    try:
        work.patiently(build, phase="building")
    except BaseException:
        if not work.connection.invalidated:
            _clear_away(work, request)
        raise


def _is_there(work: Work, request: IndexRequest) -> bool:
    drop_leftover(work, request)
    found = find_index(work, request)
    if found is None:
        return False
    if not is_as_asked(work, request, found):
        raise MigrationError(
            f"there is an index {request.label} already, another one: {found.definition}. "
            f"To exchange it: op.swap_index_concurrently({request.name!r}, ...)"
        )
    work.report("there already")
    return True


def _clear_away(work: Work, request: IndexRequest) -> None:
    try:
        drop_leftover(work, request)
    except DBAPIError as error:
        if not is_busy(error):
            raise
        log.warning(
            "%s is left behind, not valid, since %s is busy; the next run drops it", request.label, request.table
        )


def exchange_index(work: Work, request: IndexRequest) -> None:
    """Build an index anew beside the one of its name, whatever that is, and exchange the two.

    One that is beside it already, valid and as asked, was built by a run that was killed before the exchange.
    """
    beside, old = _beside(request), _old(request)
    _drop(work, old)
    left = find_index(work, beside)
    if left is not None and left.is_valid and not is_as_asked(work, beside, left):
        _drop(work, beside)
    build_index(work, beside)
    work.briefly(*_renames(request), tables=(), phase="exchanging")
    _drop(work, old)


def drop_index(work: Work, request: IndexRequest) -> None:
    """Drop an index, where it is there, valid or not."""
    drop_leftover(work, request)
    _drop(work, request, phase="waiting for transactions to end")


def _swap(work: Work, request: IndexRequest) -> None:
    beside, old = _beside(request), _old(request)
    renames = _renames(request)
    if work.offline or work.inline:
        for each in (beside, old):  # left by a script that failed, or was killed
            _drop(work, each)
        work.execute(beside.create(concurrently=not work.inline, if_not_exists=False))
        work.briefly(valid(beside), *renames, tables=(), phase="exchanging")
        _drop(work, old)
        return
    found = find_index(work, request)
    if found is None or not found.is_valid:
        build_index(work, request)
    elif not is_as_asked(work, request, found):
        if found.constraint is not None:
            raise MigrationError(
                f"the index {request.label} belongs to the constraint {found.constraint}. Drop that, and add another: "
                "op.drop_constraint_safely(...), op.add_unique_safely(...)"
            )
        _drop(work, old)  # left by a kill
        left = find_index(work, beside)
        if left is not None and left.is_valid and not is_as_asked(work, beside, left):
            _drop(work, beside)
        build_index(work, beside)
        work.briefly(*renames, tables=(), phase="exchanging")
    for each in (beside, old):
        _drop(work, each)


def _drop(work: Work, request: IndexRequest, *, phase: str = "dropping what it was before") -> None:
    concurrently = "" if work.inline else " CONCURRENTLY"
    if work.offline or work.inline or find_index(work, request) is not None:
        statement = f"DROP INDEX{concurrently} IF EXISTS {request.label}"
        work.patiently(lambda: work.execute(statement), phase=phase)


def _comment(work: Work, request: IndexRequest, comment: str | None) -> None:
    if comment is not None:
        work.execute(f"COMMENT ON INDEX {request.label} IS {literal(comment)}")


def _renames(request: IndexRequest) -> tuple[str, str]:
    return (
        f"ALTER INDEX IF EXISTS {request.label} RENAME TO {quoted(_old(request).name)}",
        f"ALTER INDEX {_beside(request).label} RENAME TO {quoted(request.name)}",
    )


def _beside(request: IndexRequest) -> IndexRequest:
    return request.named(_suffixed(request.name, "_new"))


def _old(request: IndexRequest) -> IndexRequest:
    return request.named(_suffixed(request.name, "_old"))


def _suffixed(name: str, suffix: str) -> str:
    kept = name.encode()[: _MAX_NAME - len(suffix)].decode(errors="ignore")
    return f"{kept}{suffix}"
