"""Migrating from code: what `memstore db` and applications call."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic import command
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import connecting, explained
from ..errors import MigrationError
from ..settings import Settings, settings_beside_a_host
from .environment import Run
from .lock import migration_connection, process_lock, process_lock_for
from .proxies import kept_proxies
from .scripts import make_config, revisions
from .status import check_known
from .sums import check_evidence
from .transaction import check_transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .ledger import Step
    from .progress import Reporter

APPLICATION_NAME = "memstore db"


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """What a run did: the steps it took itself, in order."""

    steps: tuple[Step, ...]


async def upgrade(
    target: AsyncEngine | AsyncConnection | URL | str,
    to: str = "head",
    *,
    settings: Settings | None = None,
    embedding_dim: int | None = None,
    on_progress: Reporter | None = None,
) -> MigrationResult:
    """Bring a database up to the revision `to`.

    With an engine or a URL each revision is a transaction of its own: safe while the database is used, by several
    runners at once, and after a killed run. With a connection everything happens in its transaction, and is the
    caller's to commit or to roll back; a busy table is not waited for a second time.

    Args:
        target: a database URL in any form that memstore accepts, an async engine on asyncpg, or an async connection.
        to: where to go, as for `alembic upgrade`; `head` is the newest that this package ships.
        settings: lock timeouts, retries and waiting; those of the environment when None.
        embedding_dim: width of embeddings for a database that has none yet, in dimensions. When None, that of the
            settings; when they have none either, 1024.
        on_progress: called with a `Progress` now and then while something takes long, also from another thread; when
            None, a line is logged every ten seconds.

    Raises:
        RequirementError: the server or pgvector is too old; nothing was changed.
        SchemaMismatchError: the database has another width than was asked for; nothing was changed.
        MigrationLockError: another runner did not finish in time; it is named.
        MigrationError: unknown revision, a table that stayed busy, a connection in AUTOCOMMIT or with a failed
            transaction, or a database that its host migrates (`host_options`); steps committed until then stay.
    """
    return await _run(command.upgrade, target, to, settings, embedding_dim, on_progress)


async def downgrade(
    target: AsyncEngine | AsyncConnection | URL | str,
    to: str,
    *,
    settings: Settings | None = None,
    on_progress: Reporter | None = None,
) -> MigrationResult:
    """Take a database down to the revision `to`, without asking; see `plan_downgrade` for what goes.

    `base` leaves nothing of memstore but the extension `vector`, and in the schema `memstore_archive` the rows that
    there were, which the next upgrade brings back.

    Raises:
        RequirementError, MigrationLockError, MigrationError: as for `upgrade`.
    """
    return await _run(command.downgrade, target, to, settings, None, on_progress)


def render_sql(start: str = "base", end: str = "head", *, embedding_dim: int | None = None) -> str:
    """Return the SQL that goes from revision `start` to `end`, up or down, for those who run it by hand.

    Raises:
        MigrationError: one of them is not a revision of this package, or the width of embeddings is needed: that of
            the database, where `start` is not base.
        MigrationLockError: a migration is under way in this process.
    """
    with process_lock():
        return rendered(start, end, Run(Settings(), embedding_dim=embedding_dim))


def rendered(start: str, end: str, run: Run) -> str:
    """Return the SQL that goes from revision `start` to `end`; see `render_sql`."""
    text = io.StringIO()
    config = make_config()
    config.output_buffer = text
    config.attributes[Run.KEY] = run
    start, end = full_id(start), full_id(end)
    step = command.downgrade if place(start) > place(end) else command.upgrade
    with kept_proxies():
        step(config, f"{start}:{end}", sql=True)
    return text.getvalue()


def full_id(revision: str) -> str:
    """Return the id that `revision` stands for: `base`, `head`, an id, or as much of one as no other begins with.

    Raises:
        MigrationError: it stands for none, or for several.
    """
    known = revisions()
    if revision == "head":
        return known[-1]
    if revision in ("base", *known):
        return revision
    found = [each for each in known if each.startswith(revision)]
    if len(found) != 1:
        raise MigrationError(f"no revision {revision!r}. There are: base, {', '.join(known)}, head")
    return found[0]


def place(full_id: str | None) -> int:
    """Return how many revisions a database at this one, in full, `base` or None, has behind it."""
    return 0 if full_id in (None, "base") else revisions().index(full_id) + 1


def run_within(connection: Connection, step: Callable[..., None], to: str, run: Run) -> MigrationResult:
    """Run a command of Alembic in the transaction of `connection`, and return what it did."""
    run.callers_transaction = True
    check_transaction(connection)
    with process_lock_for(connection, run.settings.migration_wait_s), explained(connection.engine.url):
        check_evidence(connection)
        check_known(connection)
        _command(connection, step, to, run)
    return MigrationResult(tuple(run.steps))


async def _run(
    step: Callable[..., None],
    target: AsyncEngine | AsyncConnection | URL | str,
    to: str,
    settings: Settings | None,
    embedding_dim: int | None,
    on_progress: Reporter | None,
) -> MigrationResult:
    settings = settings or settings_beside_a_host()
    width = settings.embedding_dim if embedding_dim is None else embedding_dim
    run = Run(settings, embedding_dim=width, on_progress=on_progress)
    if isinstance(target, AsyncConnection):
        return await target.run_sync(run_within, step, to, run)
    async with (
        connecting(target, application_name=APPLICATION_NAME) as engine,
        migration_connection(engine, run.settings) as connection,
    ):
        with explained(engine.url):
            await connection.run_sync(check_evidence)  # first: what else looks at a revision runs its file
            await connection.run_sync(check_known)
            await connection.rollback()
            await connection.run_sync(_command, step, to, run)
    return MigrationResult(tuple(run.steps))


def _command(connection: Connection, step: Callable[..., None], to: str, run: Run) -> None:
    run.connection = connection
    config = make_config()
    config.attributes[Run.KEY] = run
    try:
        with kept_proxies():
            step(config, to)
    except CommandError as error:
        raise MigrationError(f"cannot go to {to!r}: {error}. Run: memstore db status") from error
