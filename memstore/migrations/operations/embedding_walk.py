"""Filling a column of embeddings by calling a model: outside of any transaction, a few texts at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...errors import MigrationError
from ..sql_text import escaped, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .backfill_request import Key
    from .embedding_column import WidthChange
    from .work import Work

Embed = "Callable[[list[str]], Sequence[Any]]"


class EmbeddingWalk:
    """Rows that are still to be done, embedded in batches."""

    def __init__(
        self,
        work: Work,
        change: WidthChange,
        key: Key,
        new_type: str,
        text: str,
        embed: Callable[[list[str]], Sequence[Any]],
        batch_rows: int,
    ) -> None:
        self._work = work
        self._embed = embed
        self._rows = batch_rows
        self._done = 0
        name = quoted(change.table)
        columns = [f"{name}.{quoted(each)}" for each in key.names]
        keys = ", ".join(columns)
        last = ", ".join(f"CAST(CAST(:last AS jsonb) ->> {n} AS {each})" for n, each in enumerate(key.types))
        rows = escaped(f"FROM {change.table_sql} WHERE {change.is_left}")
        select = escaped(f"SELECT CAST(jsonb_build_array({keys}) AS text), CAST(({text}) AS text)")
        order = escaped(f"ORDER BY {keys} LIMIT {batch_rows}")
        # Up to the last row of the beginning: others may come in as fast as they are embedded.
        upto = f"({escaped(keys)}) <= ({last.replace(':last', ':upto')})"
        descending = escaped(", ".join(f"{each} DESC" for each in columns))
        end = escaped(f"FROM {change.table_sql}") + f" ORDER BY {descending} LIMIT 1"
        self._upto = f"SELECT CAST(jsonb_build_array({escaped(keys)}) AS text) {end}"
        self._first = f"{select} {rows} AND {upto} {order}"
        self._next = f"{select} {rows} AND {upto} AND ({escaped(keys)}) > ({last}) {order}"
        self._count = f"SELECT count(*) {rows}"
        matches = " AND ".join(
            f"{column} = CAST(memstore_each -> 0 ->> {n} AS {each})"
            for n, (column, each) in enumerate(zip(columns, key.types, strict=True))
        )
        # A row whose text has changed since it was read is left for the next pass.
        self._update = escaped(
            f"UPDATE {change.table_sql} SET {quoted(change.new)} = CAST(memstore_each ->> 2 AS {new_type}) "
            f"FROM jsonb_array_elements(CAST(:embedded AS jsonb)) AS memstore_of (memstore_each) "
            f"WHERE {matches} AND {change.is_left} AND CAST(({text}) AS text) = memstore_each ->> 1"
        ).replace(r"\:embedded", ":embedded")

    def run(self) -> int:
        """Go once through the rows that are left now, and return how many there were.

        Raises:
            MigrationError: the model gave another number of vectors than it was given texts, or a row has no text or
                got no vector.
        """
        total = self._work.execute(escaped(self._count))[0][0]
        seen = 0
        ends = self._work.execute(self._upto, {})
        if not ends:
            return 0
        upto = {"upto": ends[0][0]}
        rows = self._work.execute(self._first, upto)
        while rows:
            self._store(rows)
            seen += len(rows)
            self._work.report("embedding", min(seen, total), total)
            rows = self._work.execute(self._next, upto | {"last": rows[-1][0]})
        return seen

    def _store(self, rows: Sequence[Any]) -> None:
        missing = [key for key, text in rows if text is None]
        if missing:
            raise self._problem(
                f"the rows {', '.join(missing[:5])} have an embedding and no text", "Use coalesce in text="
            )
        vectors = list(self._embed([text for _, text in rows]))
        if len(vectors) != len(rows):
            raise self._problem(f"{len(rows)} texts became {len(vectors)} vectors", "Return one for each, in order")
        missing = [key for (key, _), vector in zip(rows, vectors, strict=True) if vector is None]
        if missing:
            raise self._problem(f"the rows {', '.join(missing[:5])} got no vector", "Return one for each, in order")
        embedded = [[json.loads(key), text, _vector(vector)] for (key, text), vector in zip(rows, vectors, strict=True)]
        self._work.patiently(
            lambda: self._work.execute(self._update, {"embedded": json.dumps(embedded)}), phase="writing embeddings"
        )

    def _problem(self, problem: str, remedy: str) -> MigrationError:
        return MigrationError(
            f"{self._work.name} {self._work.target}: {problem}. {remedy}, and run it again: it goes on"
        )


def _vector(vector: Any) -> str:
    if isinstance(vector, str):
        return vector
    values = vector.to_list() if hasattr(vector, "to_list") else vector
    return "[" + ",".join(repr(float(value)) for value in values) + "]"
