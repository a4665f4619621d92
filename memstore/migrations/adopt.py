"""Taking over a schema that was made by hand or by SQL scripts: compared first, stamped only when it is equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from sqlalchemy import text

from ..database import connecting, explained, open_connection
from ..errors import MigrationError, SchemaDriftError, SchemaMismatchError
from ..models import SCHEMA
from ..settings import Settings, settings_beside_a_host
from .check import VERSION_TABLE, compare_with, read_only
from .environment import Run
from .lock import migration_connection
from .scripts import head, make_config, revisions
from .status import check_known, current_revision

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from .check import SchemaCheck


async def adopt(target: AsyncEngine | URL | str, at: str, *, settings: Settings | None = None) -> SchemaCheck:
    """Stamp a database that holds exactly the schema of revision `at`, which it was not migrated to.

    Compared in a read-only transaction. What is written, and only when there is no difference, is the revision, a row
    of the ledger, and the right to read the revision for roles that have an application's rights on everything else. A
    database that is at `at` already is compared, and left as it is.

    Raises:
        SchemaDriftError: the schema is not that of `at`; its `differences` say where. Nothing was written.
        SchemaMismatchError: there is no schema `memstore`, or the database is at another revision.
        MigrationError: there is no such revision.
        MigrationLockError: a runner is migrating the database.
    """
    settings = settings or settings_beside_a_host()
    revision = head() if at == "head" else at
    if revision not in revisions():
        raise MigrationError(f"no revision {at!r}. There are: {', '.join(revisions())}, head")
    async with connecting(target, application_name="memstore db adopt") as engine:
        with explained(engine.url):
            async with open_connection(engine) as connection:
                found, stamped = await _compare(connection, revision)
            if not stamped:
                async with migration_connection(engine, settings) as connection:
                    found, stamped = await _compare(connection, revision)  # it may have changed while we waited
                    if not stamped:
                        await connection.run_sync(_stamp, revision, settings)
                        await _let_applications_see(connection, revision)
    return found


async def _compare(connection: AsyncConnection, revision: str) -> tuple[SchemaCheck, bool]:
    """Return how the schema compares, and whether the database says that it is at `revision` already."""
    async with read_only(connection):
        await connection.run_sync(check_known)
        current = await connection.run_sync(current_revision)
        if current not in (None, revision):
            raise SchemaMismatchError(
                f"this database is at {current} already, and cannot be adopted at {revision}. "
                f"Run: memstore db check (and memstore db upgrade {revision})",
                found=current,
                needed=revision,
            )
        if await connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}) is None:
            raise SchemaMismatchError(
                f"there is no schema {SCHEMA} to adopt in this database. Run: memstore db upgrade",
                found=None,
                needed=revision,
            )
        found = await connection.run_sync(compare_with, revision)
    if found.differences:
        raise SchemaDriftError(f"the schema is not that of {revision}", found.differences)
    return found, current == revision


async def _let_applications_see(connection: AsyncConnection, revision: str) -> None:
    """Grant the roles of applications what they have elsewhere on the version table, which stamping may have made.

    Nothing else is mended, whatever somebody may have changed meanwhile: that is for `check` to say.
    """
    async with read_only(connection):
        found = await connection.run_sync(compare_with, revision)
    for difference in found.differences:
        if difference.object.startswith(f"grant on table {VERSION_TABLE} to "):
            for statement in difference.remedy:
                await connection.execute(text(statement))
    await connection.commit()


def _stamp(connection: Connection, revision: str, settings: Settings) -> None:
    config = make_config()
    config.attributes[Run.KEY] = Run(settings, connection=connection)
    command.stamp(config, revision)
