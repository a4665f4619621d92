"""Giving a column of embeddings another width while it is read and written: never in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
from ..sql_text import quoted
from .embedding_change import EmbeddingChange
from .embedding_column import WidthChange, check_table, refusal
from .stepwise import stepwise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
            EmbeddingChange(work, change, backfill, text, from_archive=from_archive, batch_rows=batch_rows).run()


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
