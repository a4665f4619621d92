"""Giving a column of embeddings another width while it is read and written: never in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import sqlstate
from ..sql_text import literal, quoted, quoted_table
from .backfill_request import BackfillRequest, find_key
from .backfill_walk import Walk
from .constraint_state import ConstraintRequest
from .embedding_archive import EmbeddingArchive
from .embedding_column import (
    MARK,
    Carried,
    WidthChange,
    carried,
    check_column,
    check_table,
    comment_sql,
    find_columns,
    refusal,
    suffixed,
)
from .embedding_exchange import ROWS_LEFT, exchange_statements
from .embedding_walk import EmbeddingWalk
from .index_definition import IndexRequest
from .index_state import drop_leftover, find_index
from .stepwise import stepwise
from .validated import add_validated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .backfill_request import Key
    from .work import Work

_PASSES = 20
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}


class EmbeddingWidthChange(MigrateOperation):
    """An operation on a column of embeddings that commits: it comes first in its revision, and can be run again."""

    @classmethod
    def change_embedding_width(
        cls,
        operations: Operations,
        table: str,
        column: str,
        width: int,
        *,
        backfill: str | Callable[[list[str]], Sequence[Any]] | None = None,
        text: str | None = None,
        from_archive: bool = False,
        batch_rows: int = 100,
        schema: str | None = None,
    ) -> None:
        """Give a column of type vector(N) or halfvec(N) another width, while the table is read and written.

        A new column is filled beside the old one, which applications go on to write; a row that they change is done
        again. Triggers on the table fire for each row that is filled, as for any UPDATE. Then the two are exchanged in
        an instant, with indexes, checks, NOT NULL, storage and comments. From then on the application must write the
        new width: deploy that together with this. It names its columns in INSERT, since this one now comes last. The
        old embeddings go to a table of the schema memstore_archive, by primary key.

        Args:
            operations: given by Alembic.
            table: the table, with a primary key.
            column: its column of embeddings.
            width: the new number of dimensions.
            backfill: SQL for the new embedding of a row, or a function that is given a list of texts and returns a
                vector for each, in order. It is called outside of any transaction.
            text: SQL for the text of a row, for such a function.
            from_archive: take the embeddings that an earlier change has archived at that width. A row without one
                gets that of `backfill`, which then is SQL, or NULL; so do all where nothing is archived.
            batch_rows: how many texts the function is given at a time.
            schema: the schema of the table, the first of the search path when None.

        Raises:
            MigrationError: something hangs on the column that cannot go over, which is named, and nothing was done;
                `backfill` gives no embedding for a row that has one; rows come in faster than they are done; the table
                is busy beyond the retries; the revision has written something before it; or SQL is to be rendered,
                with no database to ask what the column has.
        """
        change = WidthChange(table, column, width, schema)
        target = f"{change.table_sql}.{quoted(column)}"
        _check_arguments(operations, target, backfill, text, from_archive=from_archive)
        with stepwise(operations, "change_embedding_width", target, change.table_sql) as work:
            if work.inline:
                raise refusal(work, "it commits, and runs in a transaction of somebody else", "Run it on its own")
            check_table(work, change)
            _Change(work, change, backfill, text, from_archive=from_archive, batch_rows=batch_rows).run()


class _Change:
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
                self._finish(old)
            return
        if old is not None:
            raise refusal(
                self._work,
                f"the change to {found and found.full_type} was not finished: {change.old} is still there",
                "Run that revision again first",
            )
        check_column(self._work, change, found)
        self._before = columns[change.column]
        self._type = self._before.full_type.replace(f"({self._before.width})", f"({change.width})")
        if new is not None and new.full_type != self._type:
            raise refusal(
                self._work,
                f"a change to {new.full_type} was begun",
                f"Run that to its end, or drop what it has: ALTER TABLE {self._table} DROP COLUMN {quoted(new.name)}",
            )
        if self._from_archive:
            self._check_archive()
        indexes, checks = carried(self._work, change, self._before.attnum, self._before.width, self._type)
        if new is None:
            self._add()
        for check in checks:
            self._carry_check(check)
        self._build_todo()
        self._fill()
        for index in indexes:
            self._build(index)
        self._fill()
        self._rebuild_todo()
        self._exchange(indexes, checks)
        self._finish(find_columns(self._work, change)[change.old])

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

    def _todo(self) -> IndexRequest:
        where = {"where": self._change.is_left}
        return IndexRequest(self._change.todo, self._change.table, self._key.names, self._change.schema, False, where)

    def _build_todo(self) -> None:
        request = self._todo()
        drop_leftover(self._work, request)
        if find_index(self._work, request) is None:
            self._create_todo()

    def _rebuild_todo(self) -> None:
        # While somebody reads for long, entries of rows that are done stay in the index, and the last look is long.
        self._drop_index(self._todo())
        self._create_todo()

    def _create_todo(self) -> None:
        create = self._todo().create(concurrently=True, if_not_exists=False)
        self._work.patiently(lambda: self._without_leftover(self._todo(), create), phase="indexing what is to be done")

    def _build(self, index: Carried) -> None:
        request = self._beside(index)
        unique = "UNIQUE " if index.is_unique else ""
        head = f"CREATE {unique}INDEX CONCURRENTLY {quoted(request.name)} ON {self._table}"

        def build() -> None:
            drop_leftover(self._work, request)
            found = find_index(self._work, request)
            if found is not None and found.definition.partition(" USING ")[2] != index.definition.removeprefix(
                " USING "
            ):
                self._drop_index(request)
                found = None
            if found is None:
                self._work.execute(f"{head}{index.definition}")

        self._work.patiently(build, phase=f"building {index.name}")
        self._work.execute(comment_sql(f"INDEX {request.label}", index.comment))

    def _without_leftover(self, request: IndexRequest, create: Any) -> None:
        drop_leftover(self._work, request)
        self._work.execute(create)

    def _drop_index(self, request: IndexRequest) -> None:
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {request.label}"
        self._work.patiently(lambda: self._work.execute(drop), phase="dropping an index")

    def _beside(self, index: Carried) -> IndexRequest:
        return IndexRequest(suffixed(index.name, "_new"), self._change.table, (), self._change.schema, False, {})

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
        if callable(self._backfill):
            EmbeddingWalk(
                self._work, change, self._key, self._type, str(self._text), self._backfill, self._batch_rows
            ).run()
            return
        assignment, where = self._assignment
        request = BackfillRequest(change.table, change.schema, assignment, where)
        Walk(self._work, request, self._key, None)._pass()  # run() ends when no row is left at all

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

    def _finish(self, old: Any) -> None:
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
        if self._from_archive and used_up.exists():
            drops.append(f"DROP TABLE {used_up.name}")
        self._work.briefly(*drops, tables=(self._table,), phase="dropping the old column")


def _check_arguments(
    operations: Operations, target: str, backfill: object, text: str | None, *, from_archive: bool
) -> None:
    problem = None
    if operations.get_context().as_sql:
        problem = (
            "with --sql there is no database to ask which indexes and checks the column has"
            + (", nor rows to embed" if callable(backfill) else "")
            + ". Run this revision online: alembic upgrade (memstore db upgrade)"
        )
    elif callable(backfill) and from_archive:
        problem = (
            "with from_archive=True, backfill is SQL for the rows that have nothing there. Give SQL, or leave it out"
        )
    elif callable(backfill) and text is None:
        problem = "which text is embedded? Give text=, SQL over a row such as text=\"concat_ws(' ', title, body)\""
    elif backfill is None and not from_archive:
        problem = "where do the new embeddings come from? Give backfill=, or from_archive=True"
    if problem:
        raise MigrationError(f"change_embedding_width {target}: {problem}")
