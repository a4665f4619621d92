"""A host's run of Alembic with memstore's revisions among its own: what is done before and after each of ours."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column, text

from ..errors import MigrationError
from ..models import SCHEMA
from . import ledger
from .authority import hand_over, take_back
from .command_error import as_command_error
from .consent import CONSENT, has_consent
from .lock import lock_transaction
from .namespace import DROP_AT_BASE, VERSION_TABLE, create_schema, drop_schema_at_base, has_version_table
from .requirements import check_requirements
from .scripts import revisions
from .session import MigrationSettings
from .status import current_revision
from .width import DEFAULT_EMBEDDING_DIM, resolve_embedding_dim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep, StampStep

    from ..settings import Settings

    Step = RevisionStep | StampStep
    Resolve = Callable[..., Iterable[Step]]


class HostPlan:
    """The steps of a host's run, in Alembic's order; ours among them are prepared, and recorded as in our own runs."""

    def __init__(self, resolve: Resolve, settings: Settings, *, embedding_dim: int | None) -> None:
        self._resolve = resolve
        self._settings = settings
        self._embedding_dim = embedding_dim
        self._session: MigrationSettings | None = None
        self._started = monotonic()

    @staticmethod
    def unwrapped(resolve: Resolve) -> Resolve:
        """Return what `resolve` stands for: an env.py with several databases configures Alembic once for each."""
        return resolve._resolve if isinstance(resolve, HostPlan) else resolve

    def __call__(self, heads: tuple[str, ...], migration_context: MigrationContext) -> Iterator[Step]:
        """Yield the steps, after a look at all of them: what is refused is refused before the first."""
        steps = list(self._resolve(heads, migration_context))
        ours = [step for step in steps if _is_ours(step.info) and not step.info.is_stamp]
        with as_command_error():
            if ours:
                _check_direction(ours, migration_context)
                self._prepare_run(heads, migration_context, upward=any(step.is_upgrade for step in ours))
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
        if not _is_ours(step):
            return
        current = _newest_of_ours(ctx, heads)
        with as_command_error():
            if current is not None:
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

    def _prepare_run(self, heads: tuple[str, ...], migration_context: MigrationContext, *, upward: bool) -> None:
        current = _newest_of_ours(migration_context, heads)
        connection = migration_context.connection
        if migration_context.as_sql or connection is None:
            # From another revision on it is the database's to say, and here is none to ask.
            width = self._embedding_dim or (DEFAULT_EMBEDDING_DIM if current is None else None)
            migration_context.opts["embedding_dim"] = width
            return
        check_requirements(connection)
        recorded = current_revision(connection)
        if recorded is not None and recorded != current:
            table = migration_context.version_table
            raise MigrationError(
                f"memstore is at {recorded} in this database, and at {current or 'nothing'} by your table {table}: it "
                f"was migrated in another way. Nothing was done. To go on from there: alembic stamp {recorded}"
            )
        asked = self._embedding_dim if upward else None
        migration_context.opts["embedding_dim"] = resolve_embedding_dim(connection, asked)

    def _prepare(self, step: Step, migration_context: MigrationContext) -> None:
        self._started = monotonic()
        connection = migration_context.connection
        if migration_context.as_sql or connection is None:
            if _is_first(step.info) and step.is_upgrade:
                migration_context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            return
        lock_transaction(connection, self._settings.migration_wait_s)
        # For the session: SET LOCAL would end at an autocommit block of the revision.
        self._session = MigrationSettings(connection, self._settings.lock_timeout_ms, local=False)
        create_schema(connection)


def _is_ours(step: MigrationInfo) -> bool:
    return not set(step.up_revision_ids).isdisjoint(revisions())


def _is_first(step: MigrationInfo) -> bool:
    return step.up_revision_id == revisions()[0]


def _check_direction(ours: list[Step], migration_context: MigrationContext) -> None:
    down = [step for step in ours if step.is_downgrade]
    if down and not has_consent(migration_context.environment_context):
        raise MigrationError(
            f"this would take memstore down too, {len(down)} of its revisions, and what it holds with it. "
            "Nothing was done. To take down your own revisions: "
            f"alembic downgrade {_name_of_the_hosts_branch(migration_context)}@base (or one of them). "
            f"To remove memstore: alembic {CONSENT} downgrade memstore@base"
        )


def _newest_of_ours(migration_context: MigrationContext, heads: Collection[str]) -> str | None:
    """Return where memstore is, given the heads of the host's version table.

    Which need not name it: a revision of the host that depends on one of ours stands for both.
    """
    if migration_context.script is None or not heads:
        return None
    reached = {script.revision for script in migration_context.script.iterate_revisions(tuple(heads), "base")}
    return next((revision for revision in reversed(revisions()) if revision in reached), None)


def _name_of_the_hosts_branch(migration_context: MigrationContext) -> str:
    """Return the label of the host's branch, or its first revision, which Alembic takes as well."""
    if migration_context.script is not None:
        for base in migration_context.script.get_bases():
            if base not in revisions():
                labels = sorted(migration_context.script.get_revision(base).branch_labels)
                return labels[0] if labels else base
    return "YOURS"


def _record_revision(ctx: MigrationContext, step: MigrationInfo, current: str) -> None:
    table = ctx.impl.version_table_impl(version_table=VERSION_TABLE, version_table_schema=SCHEMA, version_table_pk=True)
    connection = ctx.connection
    missing = _is_first(step) and step.is_upgrade if ctx.as_sql else connection and not has_version_table(connection)
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
