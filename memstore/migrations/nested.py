"""What a host's own revision calls: memstore goes to a revision in the host's run, on its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command

from ..errors import MigrationError
from ..settings import settings_beside_a_host
from .command_error import as_command_error
from .consent import CONSENT, has_consent
from .environment import Run
from .lock import process_lock
from .proxies import run_under_way
from .runner import MigrationResult, full_id, place, rendered, run_within
from .status import check_known, current_revision
from .sums import check_evidence
from .transaction import check_transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    from ..settings import Settings


def upgrade_to(
    revision: str,
    connection: Connection | None = None,
    *,
    start: str | None = None,
    embedding_dim: int | None = None,
    settings: Settings | None = None,
) -> MigrationResult:
    """Bring memstore up to `revision` in the transaction of `connection`, which stays the caller's to commit.

    For `upgrade()` of a host's revision, where the connection is that of the run. memstore's own version table says
    where it is; a database that is at `revision` or past it stays as it is. For async code there is `upgrade`.

    Args:
        revision: where to go, in full or as much as no other begins with; `head` would be another place with each
            release of memstore.
        connection: a sync connection on any driver, for use outside of a revision.
        start: where memstore is before, for `alembic upgrade --sql`, which has no database to ask; else not looked at.
        embedding_dim: width of embeddings for a database that has none yet, in dimensions. When None, that of
            MEMSTORE_EMBEDDING_DIM; 1024 where that is not set either.
        settings: lock timeout and waiting; those of the environment when None.

    Raises:
        MigrationError: there is neither a run of Alembic under way nor a `connection`.
        alembic.util.CommandError: in a run of Alembic, what `upgrade` raises as a MemstoreError, and a missing `start`.
        RequirementError, SchemaMismatchError, MigrationLockError, MigrationError: with a `connection`, as `upgrade`.
    """
    return _go("upgrade", command.upgrade, revision, connection, start, embedding_dim, settings)


def downgrade_to(
    revision: str,
    connection: Connection | None = None,
    *,
    start: str | None = None,
    settings: Settings | None = None,
) -> MigrationResult:
    """Take memstore down to `revision` in the transaction of `connection`; `base` removes it.

    What it holds goes to the schema memstore_archive, and comes back with the next upgrade.

    For `downgrade()` of a host's revision, in which it is refused unless Alembic was called with
    `-x memstore=downgrade`: a host's `alembic downgrade base` is not meant for the memories. There, a database that is
    at `revision` or before it stays as it is. With a `connection`, the call is word enough. Arguments and other errors
    are those of `upgrade_to`.
    """
    return _go("downgrade", command.downgrade, revision, connection, start, None, settings)


def _go(
    direction: str,
    step: Callable[..., None],
    revision: str,
    connection: Connection | None,
    start: str | None,
    embedding_dim: int | None,
    settings: Settings | None,
) -> MigrationResult:
    settings = settings or settings_beside_a_host()
    run = Run(settings, embedding_dim=settings.embedding_dim if embedding_dim is None else embedding_dim)
    if connection is not None:
        return run_within(connection, step, revision, run)
    outer = run_under_way()
    if outer is None:
        raise MigrationError(
            "this is not in upgrade() or downgrade() of a revision that Alembic runs. "
            f"Pass a connection: {direction}_to({revision!r}, connection)"
        )
    with as_command_error():
        return _go_within(outer, direction, step, revision, start, run)


def _go_within(
    outer: MigrationContext, direction: str, step: Callable[..., None], revision: str, start: str | None, run: Run
) -> MigrationResult:
    """Go to `revision` in the run of the host, or write the SQL of that into the host's."""
    connection = None if outer.as_sql else outer.connection
    if connection is not None:
        check_transaction(
            connection,
            otherwise=f"Call {direction}_to() outside of autocommit_block(), on a connection with a transaction",
        )
        check_evidence(connection)  # first: what else looks at a revision runs its file
        check_known(connection)
        at = current_revision(connection)
    elif start is not None:
        at = full_id(start)
    else:
        raise MigrationError(
            "there is no database to ask where memstore is, since SQL is rendered. "
            f"Say what it is before this: {direction}_to({revision!r}, start='base'), or the revision it was taken to"
        )
    revision = full_id(revision)
    way = place(revision) - place(at)
    if direction == "downgrade":
        if way >= 0:
            return MigrationResult(())
        _check_consent(outer, at, revision)
    if connection is not None:
        return run_within(connection, step, revision, run)
    if direction == "upgrade" and way <= 0:  # rendered, it would be the SQL of a downgrade
        return MigrationResult(())
    return _render(outer, str(at), revision, run)


def _check_consent(outer: MigrationContext, at: str | None, revision: str) -> None:
    if not has_consent(outer.environment_context):
        raise MigrationError(
            f"this would take memstore down from {at} to {revision}, and what it holds with it. "
            "Nothing was done. To keep it, take downgrade_to() out of the downgrade() of your revision. "
            f"To remove it: alembic {CONSENT} downgrade ..."
        )


def _render(outer: MigrationContext, start: str, revision: str, run: Run) -> MigrationResult:
    run.callers_transaction = True
    with process_lock():
        outer.impl.static_output(rendered(start, revision, run).strip())
    return MigrationResult(tuple(run.steps))
