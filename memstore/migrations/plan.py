"""The steps of a run of memstore's own, and the record of each."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import RevisionStep

from . import ledger, unfinished
from .levels import check_steps
from .take_back import take_back

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from alembic.runtime.migration import MigrationContext, MigrationInfo, MigrationStep
    from sqlalchemy import Connection

    from .operations.archive import MovedRows


class Plan:
    """The steps of a run, resolved once: a second attempt goes on where the first stopped, also for `+2`."""

    def __init__(self, resolve: Callable[..., Iterable[MigrationStep]], taken: list[ledger.Step]) -> None:
        self.heads: set[str] = set()
        self.moved: list[MovedRows] = []  # by the step under way
        self._resolve = resolve
        self._taken = taken
        self._todo: list[MigrationStep] | None = None
        self._started = monotonic()

    @property
    def current(self) -> str:
        """The step under way, for messages."""
        return self._todo[0].short_log if self._todo else "nothing"

    def __call__(self, heads: tuple[str, ...], migration_context: MigrationContext) -> Iterator[MigrationStep]:
        """Yield what is left to do, after a look at all of it; Alembic asks for this at each attempt."""
        if self._todo is None:
            steps = list(self._resolve(heads, migration_context))
            check_steps(steps)
            take_back(migration_context, steps)
            self._todo = steps
        while self._todo:
            self._started = monotonic()
            self.moved.clear()  # an attempt that failed has moved nothing
            yield self._todo[0]
            del self._todo[0]  # its transaction is committed by now, and not before

    def begin(self, connection: Connection) -> None:
        """Note that the step under way is about to commit something; safe operations call this."""
        if self._todo and isinstance(self._todo[0], RevisionStep):
            unfinished.note(connection, self._todo[0])

    def record(
        self,
        ctx: MigrationContext,
        step: MigrationInfo,
        heads: Collection[Any],
        run_args: Mapping[str, Any],  # noqa: ARG002 -- Alembic passes all four by name
    ) -> None:
        """Write the step that was just taken to the ledger; Alembic calls this before it commits."""
        duration = None if ctx.as_sql else round((monotonic() - self._started) * 1000)
        unfinished.forget(None if ctx.as_sql else ctx.connection)
        self._taken.append(replace(ledger.record(ctx, step, heads, duration), moved=tuple(self.moved)))
        self.heads = set(heads)
