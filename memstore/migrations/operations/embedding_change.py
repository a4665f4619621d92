"""A column of embeddings on its way to another width: each step is left out where it was done before a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, IntegrityError

from ...errors import MigrationError
from ..pausing import sqlstate
from ..sql_text import literal, quoted, quoted_table
from .backfill_request import BackfillRequest, find_key
from .backfill_walk import Walk
from .constraint_state import ConstraintRequest
from .embedding_archive import EmbeddingArchive
from .embedding_carried import carried
from .embedding_column import (
    MARK,
    Carried,
    WidthChange,
    check_column,
    comment_sql,
    find_columns,
    refusal,
    suffixed,
)
from .embedding_exchange import ROWS_LEFT, exchange_statements
from .embedding_indexes import EmbeddingIndexes
from .embedding_walk import EmbeddingWalk
from .validated import add_validated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .backfill_request import Key
    from .work import Work

_PASSES = 20
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}


class EmbeddingChange:
    """The change under way: each step is left out where it was done before a kill."""

    def __init__(
        self,
        work: Work,
        change: WidthChange,
        backfill: str | Callable[[list[str]], Sequence[Any]] | None,
        text: str | None,
        *,
        from_archive: bool,
        batch_rows: int,
    ) -> None:
        self._work = work
        self._change = change
        self._backfill = backfill
        self._text = text
        self._from_archive = from_archive
        self._batch_rows = batch_rows
        self._table = change.table_sql
        self._key: Key = find_key(work, BackfillRequest(change.table, change.schema, "", ""), None)
        self._indexes = EmbeddingIndexes(work, change, self._key)
        self._before: Any = None
        self._type = ""

    def run(self) -> None:
        """Do what is left to be done."""
        change = self._change
        columns: dict[str, Any] = find_columns(self._work, change)
        found, new, old = (columns.get(name) for name in (change.column, change.new, change.old))
        for each in (new, old):
            if each is not None and not each.comment.startswith(MARK):
                raise refusal(self._work, f"{self._table} has a column {each.name}", "Rename that one")
        if found is not None and found.width == change.width and new is None:
            if old is None:
                self._work.report("there already")
            else:
                self._finish(old, from_archive=self._from_archive)
            return
        if found is not None and found.width == change.width and new is not None and new.width != change.width:
            self._abandon()
            return
        if old is not None and found is not None and found.width != change.width:
            self._finish(old, from_archive=False)  # a change the other way round, which was killed after the exchange
            columns = find_columns(self._work, change)
        check_column(self._work, change, found)
        self._before = columns[change.column]
        self._type = self._before.full_type.replace(f"({self._before.width})", f"({change.width})")
        if new is not None and new.full_type != self._type:
            raise refusal(
                self._work,
                f"a change to {new.full_type} was begun",
                f"Run that to its end, or drop what it has: ALTER TABLE {self._table} DROP COLUMN {quoted(new.name)}",
            )
        EmbeddingArchive(self._work, change, self._key, self._before.width).check_owner()
        if self._from_archive:
            self._check_archive()
        indexes, checks = carried(self._work, change, self._before.attnum, self._before.width, self._type)
        if new is None:
            self._add()
        for check in checks:
            self._carry_check(check)
        self._indexes.build_todo()
        self._fill()
        for index in indexes:
            self._indexes.build(index)
        self._fill()
        self._indexes.rebuild_todo()
        self._exchange(indexes, checks)
        self._finish(find_columns(self._work, change)[change.old], from_archive=self._from_archive)

    def _check_archive(self) -> None:
        archive = EmbeddingArchive(self._work, self._change, self._key, self._change.width)
        if self._backfill is not None and not archive.exists():
            self._from_archive = False  # the first time on this way there is none yet
            return
        archive.check()
        if self._backfill is None and self._before.is_not_null:
            where = f"{quoted(self._change.column)} IS NOT NULL AND {archive.expression} IS NULL"
            rows = self._work.execute(f"SELECT count(*) FROM {self._table} WHERE {where}")[0][0]
            if rows:
                raise refusal(
                    self._work,
                    f"the column is NOT NULL, and {rows} rows have no embedding in {archive.name}",
                    "Give backfill= for those",
                )

    def _add(self) -> None:
        change, before = self._change, self._before
        new, old, function = quoted(change.new), quoted(change.column), quoted_table(change.schema, change.trigger)
        statements = [
            f"ALTER TABLE {self._table} ADD COLUMN {new} {self._type}",
            comment_sql(f"COLUMN {self._table}.{new}", f"{MARK} from {before.full_type}"),
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
            + literal(f"BEGIN NEW.{new} := NULL; RETURN NEW; END"),
            f"CREATE TRIGGER {quoted(change.trigger)} BEFORE UPDATE ON {self._table} FOR EACH ROW "
            f"WHEN (OLD.{old} IS DISTINCT FROM NEW.{old} AND OLD.{new} IS NOT DISTINCT FROM NEW.{new}) "
            f"EXECUTE FUNCTION {function}()",
        ]
        if before.storage is not None:
            statements.append(f"ALTER TABLE {self._table} ALTER COLUMN {new} SET STORAGE {_STORAGE[before.storage]}")
        self._work.briefly(*statements, tables=(self._table,), phase="adding the new column")

    def _carry_check(self, check: Carried) -> None:
        request = ConstraintRequest(
            suffixed(check.name, "_new"), self._change.table, self._change.schema, check.definition
        )
        new = quoted(self._change.new)
        add_validated(
            self._work,
            request,
            violating=f"FROM {self._table} WHERE {new} IS NOT NULL AND NOT {check.definition.removeprefix('CHECK ')}",
            mend=f"UPDATE {self._table} SET {new} = NULL WHERE ...",
        )

    @property
    def _assignment(self) -> tuple[str, str]:
        """The SQL that does a row, and which rows it can do."""
        change = self._change
        where = change.is_left
        expression = f"({self._backfill})"
        if self._from_archive:
            archived = EmbeddingArchive(self._work, change, self._key, change.width).expression
            expression = f"coalesce({archived}, {self._backfill or 'NULL'})"
            if self._backfill is None:
                where += f" AND {archived} IS NOT NULL"
        return f"{quoted(change.new)} = {expression}", where

    def _fill(self) -> None:
        """Go through the rows that are left, once: where clients write without pause there are always some."""
        change = self._change
        try:
            if callable(self._backfill):
                EmbeddingWalk(
                    self._work, change, self._key, self._type, str(self._text), self._backfill, self._batch_rows
                ).run()
                return
            assignment, where = self._assignment
            request = BackfillRequest(change.table, change.schema, assignment, where)
            Walk(self._work, request, self._key, None).run_once()  # run() ends when no row is left at all
        except IntegrityError as error:
            raise MigrationError(
                f"{self._work.name} {self._work.target}: a new embedding is refused: "
                f"{str(error.orig).splitlines()[0]}. Give another backfill=, and run it again: it goes on"
            ) from error

    def _exchange(self, indexes: Sequence[Carried], checks: Sequence[Carried]) -> None:
        fill = None if callable(self._backfill) else self._assignment
        statements = exchange_statements(self._change, self._before, fill, indexes, checks)
        for _ in range(_PASSES):
            try:
                self._work.briefly(*statements, tables=(self._table,), phase="exchanging")
            except DBAPIError as error:
                if sqlstate(error) != ROWS_LEFT:
                    raise
                self._fill()
            else:
                return
        raise MigrationError(
            f"{self._work.name} {self._work.target}: {_PASSES} times rows came in while others were embedded. Let the "
            f"application write {self._change.new} too, or write less for a while, and run it again: it goes on"
        )

    def _abandon(self) -> None:
        """Take back a change that was killed before the exchange; indexes on the new column go with it."""
        change = self._change
        self._work.briefly(
            f"DROP TRIGGER IF EXISTS {quoted(change.trigger)} ON {self._table}",
            f"DROP FUNCTION IF EXISTS {quoted_table(change.schema, change.trigger)}()",
            f"ALTER TABLE {self._table} DROP COLUMN {quoted(change.new)}",
            tables=(self._table,),
            phase="taking back a change that was begun",
        )

    def _finish(self, old: Any, *, from_archive: bool) -> None:
        """After the exchange: see to NOT NULL, archive the old column, and drop it."""
        alter = f"ALTER TABLE {self._table}"
        found = self._work.execute(
            "SELECT FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name",
            {"table": self._table, "name": self._change.not_null},
        )
        if found:
            self._work.patiently(
                lambda: self._work.execute(f"{alter} VALIDATE CONSTRAINT {quoted(self._change.not_null)}"),
                phase="validating",
            )
            self._work.briefly(
                f"{alter} ALTER COLUMN {quoted(self._change.column)} SET NOT NULL",
                f"{alter} DROP CONSTRAINT {quoted(self._change.not_null)}",
                tables=(self._table,),
                phase="setting NOT NULL",
            )
        EmbeddingArchive(self._work, self._change, self._key, old.width).keep(old.name, old.full_type)
        used_up = EmbeddingArchive(self._work, self._change, self._key, self._change.width)
        drops = [f"{alter} DROP COLUMN {quoted(old.name)}"]
        if from_archive and used_up.exists():
            drops.append(f"DROP TABLE {used_up.name}")
        self._work.briefly(*drops, tables=(self._table,), phase="dropping the old column")
