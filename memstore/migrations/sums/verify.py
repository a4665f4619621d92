"""Verifying: files, sums and, where there is one, what a database has applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...database import connecting, explained, open_connection
from ..check import read_only
from ..scripts import is_installed, script_location
from .applied import read_applied
from .compare import compare_files
from .compare_applied import compare_all
from .files import revision_files
from .sealed import read_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .findings import Finding
    from .sealed import Sealed


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified.

    revisions: how many were released and are what they were.
    database: the one that was asked, None where none was.
    applied: how many it has applied, by its ledger.
    findings: what is not as it should be; `accepted` says where somebody accepted that in this database.
    """

    revisions: int
    database: str | None
    applied: int
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The findings that nobody has accepted."""
        return tuple(each for each in self.findings if each.accepted is None)


async def verify(target: AsyncEngine | URL | str | None = None) -> Verification:
    """Compare the revision files with versions.sum, and what a database has applied with both. Reads only.

    Args:
        target: a database URL in any form that memstore accepts, or an async engine on asyncpg; the files alone are
            verified when None.

    Raises:
        TamperError: versions.sum is missing or cannot be read.
        PermissionDeniedError: the role may not read the ledger.
    """
    location = script_location()
    files, sealed, installed = revision_files(location), read_sums(location), is_installed(location)
    if target is None:
        return _verification(sealed, compare_files(files, sealed, installed=installed), None, 0)
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            async with read_only(connection):
                applied = await connection.run_sync(read_applied)
    findings = compare_all(files, sealed, applied, installed=installed)
    return _verification(sealed, findings, applied.database, len(applied.checksums))


def _verification(
    sealed: Sequence[Sealed], findings: Sequence[Finding], database: str | None, applied: int
) -> Verification:
    wrong = {each.revision for each in findings}
    return Verification(sum(line.revision not in wrong for line in sealed), database, applied, tuple(findings))
