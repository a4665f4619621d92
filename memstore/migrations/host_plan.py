"""A host's run of Alembic with memstore's revisions among its own: what is done before and after each of ours."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column, text

from ..models import SCHEMA
from . import ledger
from .authority import hand_over, take_back
from .command_error import as_command_error
from .host_refusals import check_consent, check_in_step, check_not_overtaken, check_stamp
from .host_steps import heads_after_stamps, is_first, is_ours, newest_of_ours
from .levels import check_steps
from .lock import lock_transaction
from .namespace import DROP_AT_BASE, VERSION_TABLE, create_schema, drop_schema_at_base, has_version_table
from .requirements import check_requirements
from .session import MigrationSettings
from .status import current_revision
from .sums import check_evidence, warn_of_files
from .width import DEFAULT_EMBEDDING_DIM, resolve_embedding_dim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from alembic.runtime.migration import MigrationContext, MigrationInfo

    from ..settings import Settings
    from .host_steps import Step

    Resolve = Callable[..., Iterable[Step]]


class HostPlan:
    """The steps of a host's run, in Alembic's order; ours among them are prepared, and recorded as in our own runs."""

    def __init__(self, resolve: Resolve, settings: Settings, *, embedding_dim: int | None) -> None:
        self._resolve = resolve
        self._settings = settings
        self._embedding_dim = embedding_dim
        self._session: MigrationSettings | None = None
        self._current: str | None = None  # where memstore is, by the version table of the host
        self._started = monotonic()

    @staticmethod
    def unwrapped(resolve: Resolve) -> Resolve:
        """Return what `resolve` stands for: an env.py with several databases configures Alembic once for each."""
        return resolve._resolve if isinstance(resolve, HostPlan) else resolve

    def __call__(self, heads: tuple[str, ...], migration_context: MigrationContext) -> Iterator[Step]:
        """Yield the steps, after a look at all of them: what is refused is refused before the first."""
        steps = list(self._resolve(heads, migration_context))
        ours = [step for step in steps if is_ours(step.info)]
        self._current = newest_of_ours(migration_context, heads)
        with as_command_error():
            check_steps(steps)
            if ours:
                check_consent(ours, migration_context)
                self._prepare_run(migration_context, upward=any(step.is_upgrade for step in ours))
            self._check_stamps(newest_of_ours(migration_context, heads_after_stamps(heads, steps)), migration_context)
        for step in steps:
            if step in ours:
                with as_command_error():
                    self._prepare(step, migration_context)
            yield step

    def record(
        self,
        ctx: MigrationContext,
        step: MigrationInfo,
        heads: Collection[Any],
        run_args: Mapping[str, Any],  # noqa: ARG002 -- Alembic passes all four by name
    ) -> None:
        """Let memstore's version table and ledger follow a step; Alembic calls this in the step's transaction."""
        if not (step.is_stamp or is_ours(step)):
            return
        current, before = newest_of_ours(ctx, heads), self._current
        self._current = current
        if step.is_stamp and current == before:
            return
        with as_command_error():
            if current is not None:
                if not step.is_stamp:  # which says what is so already
                    _record_revision(ctx, step, current)
                hand_over(ctx)
                ledger.record(ctx, step, {current}, None if ctx.as_sql else round((monotonic() - self._started) * 1000))
            elif step.is_stamp:
                take_back(ctx)  # the host parts with memstore, which stays as it is
            else:
                _leave_nothing(ctx)
        if self._session is not None:
            self._session.restore()
            self._session = None

    def _prepare_run(self, migration_context: MigrationContext, *, upward: bool) -> None:
        migration_context.opts["memstore_settings"] = self._settings
        connection = migration_context.connection
        if migration_context.as_sql or connection is None:
            warn_of_files()
            # From another revision on it is the database's to say, and here is none to ask.
            width = self._embedding_dim or (DEFAULT_EMBEDDING_DIM if self._current is None else None)
            migration_context.opts["embedding_dim"] = width
            return
        check_requirements(connection)
        check_evidence(connection)
        check_in_step(current_revision(connection), self._current, migration_context)
        asked = self._embedding_dim if upward else None
        migration_context.opts["embedding_dim"] = resolve_embedding_dim(connection, asked)

    def _check_stamps(self, claimed: str | None, migration_context: MigrationContext) -> None:
        connection = migration_context.connection
        # Rendered as SQL, there is nothing to compare with: the next upgrade does.
        if claimed in (None, self._current) or migration_context.as_sql or connection is None:
            return
        lock_transaction(connection, self._settings.migration_wait_s)
        check_stamp(current_revision(connection), claimed, migration_context)

    def _prepare(self, step: Step, migration_context: MigrationContext) -> None:
        self._started = monotonic()
        connection = migration_context.connection
        if migration_context.as_sql or connection is None:
            if is_first(step.info) and step.is_upgrade:
                migration_context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            return
        lock_transaction(connection, self._settings.migration_wait_s)
        check_not_overtaken(current_revision(connection), step)
        # For the session: SET LOCAL would end at an autocommit block of the revision.
        self._session = MigrationSettings(connection, self._settings.lock_timeout_ms, local=False)
        create_schema(connection)


def _record_revision(ctx: MigrationContext, step: MigrationInfo, current: str) -> None:
    table = ctx.impl.version_table_impl(version_table=VERSION_TABLE, version_table_schema=SCHEMA, version_table_pk=True)
    connection = ctx.connection
    missing = is_first(step) and step.is_upgrade if ctx.as_sql else connection and not has_version_table(connection)
    if missing and connection is not None:
        table.create(connection)
    ctx.impl.execute(table.delete())
    ctx.impl.execute(table.insert().values(version_num=literal_column(f"'{current}'")))


def _leave_nothing(ctx: MigrationContext) -> None:
    if ctx.as_sql or ctx.connection is None:
        for statement in DROP_AT_BASE:
            ctx.execute(statement)
        return
    ctx.impl.execute(text(f"DELETE FROM {SCHEMA}.{VERSION_TABLE}"))
    drop_schema_at_base(ctx.connection)
