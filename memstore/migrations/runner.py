"""Migrating from code: what `memstore db` and applications call."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic import command
from alembic.util import CommandError

from ..database import connecting, explained
from ..errors import MigrationError
from ..settings import Settings
from .environment import Run
from .lock import migration_connection, process_lock
from .scripts import make_config, revisions
from .status import check_known

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .ledger import Step

APPLICATION_NAME = "memstore db"


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """What a run did: the steps it took itself, in order."""

    steps: tuple[Step, ...]


async def upgrade(
    target: AsyncEngine | URL | str,
    revision: str = "head",
    *,
    settings: Settings | None = None,
    embedding_dim: int | None = None,
) -> MigrationResult:
    """Bring a database up to `revision`. Safe while it is used, by several runners at once, and after a killed run.

    Args:
        target: a database URL in any form that memstore accepts, or an async engine on asyncpg.
        revision: where to go, as for `alembic upgrade`; `head` is the newest that this package ships.
        settings: lock timeouts, retries and waiting; those of the environment when None.
        embedding_dim: width of embeddings for a database that has none yet, in dimensions. When None, that of the
            settings; when they have none either, 1024.

    Raises:
        RequirementError: the server or pgvector is too old; nothing was changed.
        SchemaMismatchError: the database has another width than was asked for; nothing was changed.
        MigrationLockError: another runner did not finish in time; it is named.
        MigrationError: unknown revision, or a table that stayed busy; steps committed until then stay.
    """
    return await _run(command.upgrade, target, revision, settings, embedding_dim)


async def downgrade(
    target: AsyncEngine | URL | str, revision: str, *, settings: Settings | None = None
) -> MigrationResult:
    """Take a database down to `revision`; `base` leaves nothing of memstore but the extension `vector`.

    Raises:
        RequirementError, MigrationLockError, MigrationError: as for `upgrade`.
    """
    return await _run(command.downgrade, target, revision, settings, None)


def render_sql(start: str = "base", end: str = "head", *, embedding_dim: int | None = None) -> str:
    """Return the SQL that goes from revision `start` to `end`, up or down, for those who run it by hand.

    Raises:
        MigrationError: one of them is not a revision of this package, or the width of embeddings is needed: that of
            the database, where `start` is not base.
        MigrationLockError: a migration is under way in this process.
    """
    text = io.StringIO()
    config = make_config()
    config.output_buffer = text
    config.attributes[Run.KEY] = Run(Settings(), embedding_dim=embedding_dim)
    step = command.downgrade if _place(start) > _place(end) else command.upgrade
    with process_lock():
        step(config, f"{start}:{end}", sql=True)
    return text.getvalue()


def _place(revision: str) -> int:
    order = ("base", *revisions())
    if revision == "head":
        return len(order) - 1
    if revision not in order:
        raise MigrationError(f"no revision {revision!r}. There are: {', '.join(order)}, head")
    return order.index(revision)


async def _run(
    step: Callable[..., None],
    target: AsyncEngine | URL | str,
    revision: str,
    settings: Settings | None,
    embedding_dim: int | None,
) -> MigrationResult:
    settings = settings or Settings.from_env()
    run = Run(settings, embedding_dim=settings.embedding_dim if embedding_dim is None else embedding_dim)
    async with (
        connecting(target, application_name=APPLICATION_NAME) as engine,
        migration_connection(engine, run.settings) as connection,
    ):
        with explained(engine.url):
            await connection.run_sync(check_known)
            await connection.rollback()
            await connection.run_sync(_command, step, revision, run)
    return MigrationResult(tuple(run.steps))


def _command(connection: Connection, step: Callable[..., None], revision: str, run: Run) -> None:
    run.connection = connection
    config = make_config()
    config.attributes[Run.KEY] = run
    try:
        step(config, revision)
    except CommandError as error:
        raise MigrationError(f"cannot go to {revision!r}: {error}. Run: memstore db status") from error
