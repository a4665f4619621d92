"""The indexes of a column of embeddings that gets another width, and the one that the change itself needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sql_text import quoted
from .embedding_column import comment_sql, suffixed
from .index_definition import IndexRequest
from .index_state import drop_leftover, find_index

if TYPE_CHECKING:
    from .backfill_request import Key
    from .embedding_column import Carried, WidthChange
    from .work import Work


class EmbeddingIndexes:
    """Builds them, concurrently."""

    def __init__(self, work: Work, change: WidthChange, key: Key) -> None:
        self._work = work
        self._change = change
        self._key = key
        self._table = change.table_sql

    def _todo(self) -> IndexRequest:
        where = {"where": self._change.is_left}
        return IndexRequest(self._change.todo, self._change.table, self._key.names, self._change.schema, False, where)

    def build_todo(self) -> None:
        """Build the index on the rows that are still to be done, unless it is there."""
        request = self._todo()
        drop_leftover(self._work, request)
        if find_index(self._work, request) is None:
            self._create_todo()

    def rebuild_todo(self) -> None:
        """Build that index anew."""
        # While somebody reads for long, entries of rows that are done stay in the index, and the last look is long.
        self._drop_index(self._todo())
        self._create_todo()

    def _create_todo(self) -> None:
        create = self._todo().create(concurrently=True, if_not_exists=False)
        self._work.patiently(lambda: self._without_leftover(self._todo(), create), phase="indexing what is to be done")

    def build(self, index: Carried) -> None:
        """Build an index on the new column, beside the one that it takes the place of."""
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
