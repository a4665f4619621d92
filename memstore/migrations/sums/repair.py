"""The only way past what was found: accepting it, in one database, with a reason that stays there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, text

from ...database import connecting, explained
from ...errors import MigrationError, PermissionDeniedError, TamperError
from ...models.installation import MigrationRepair
from ...settings import settings_beside_a_host
from ...version import __version__
from ..lock import migration_connection
from ..scripts import is_installed, script_location
from .applied import read_applied
from .compare_applied import MAKES_THE_TABLE, compare_all
from .files import revision_files
from .sealed import read_sums

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from ...settings import Settings
    from .findings import Finding

_MAY_WRITE = text("SELECT has_table_privilege('memstore.migration_repairs', 'INSERT'), session_user")


async def repair(
    target: AsyncEngine | URL | str, reason: str, *, settings: Settings | None = None
) -> tuple[Finding, ...]:
    """Accept everything that `verify` finds and nobody has accepted yet, and return it.

    In one transaction, under the migration lock. Accepted is the content that is there now: when it changes again, it
    is found again.

    Raises:
        MigrationError: the reason is empty, or the database is below the revision that brings the table for this.
        PermissionDeniedError: the role may not write it.
        MigrationLockError: another runner did not finish in time; it is named.
        TamperError: something was found that no run could begin with, whoever accepts it, such as a missing file that
            another comes after; or versions.sum is missing or cannot be read.
    """
    if not reason.strip():
        raise MigrationError("found an empty reason. Needed: why what was found is right. Type: --reason '...'")
    settings = settings or settings_beside_a_host()
    async with (
        connecting(target, application_name="memstore db repair") as engine,
        migration_connection(engine, settings) as connection,
    ):
        with explained(engine.url):
            accepted = await connection.run_sync(_accept, reason.strip())
            await connection.commit()
    return accepted


def _accept(connection: Connection, reason: str) -> tuple[Finding, ...]:
    location = script_location()
    applied = read_applied(connection)
    findings = compare_all(revision_files(location), read_sums(location), applied, installed=is_installed(location))
    # A finding can be there twice, such as two copies of one file: what accepts one accepts the other.
    refused = {each.key: each for each in findings if each.accepted is None}
    if not refused:
        return ()
    hopeless = [each for each in refused.values() if not each.acceptable]
    if hopeless:
        remedies = dict.fromkeys(each.remedy for each in hopeless)
        raise TamperError(
            f"nothing was accepted: no run could begin with these all the same. {'. '.join(remedies)}", hopeless
        )
    if not applied.can_accept:
        raise MigrationError(
            f"this database is at {applied.revision or 'no revision'}, and what is accepted is written to a table that "
            f"{MAKES_THE_TABLE} makes. Nothing was accepted. With the revisions as they were released, run: "
            f"memstore db upgrade {MAKES_THE_TABLE}"
        )
    may_write, role = connection.execute(_MAY_WRITE).one()
    if not may_write:
        raise PermissionDeniedError(
            f"role {role!r} may not write to memstore.migration_repairs. Nothing was accepted. "
            "Connect as the owner of the tables"
        )
    rows = [
        {"problem": each.problem, "revision": each.revision, "checksum": each.checksum} for each in refused.values()
    ]
    common = {"reason": reason, "package_version": __version__}
    connection.execute(insert(MigrationRepair).values([row | common for row in rows]))
    return tuple(refused.values())
