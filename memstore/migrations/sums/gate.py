"""The gate: no run begins while a released revision is not what it was, unless somebody has accepted that."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ...errors import TamperError
from ..scripts import is_installed, script_location
from .applied import read_applied
from .compare import compare_files
from .compare_applied import compare_all
from .files import revision_files
from .sealed import read_sums

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from .findings import Finding

_REFUSAL = "what was released is not as it was. Nothing was done. To see it all, and what to do: memstore db verify"


def check_evidence(connection: Connection, location: Path | None = None) -> None:
    """Check the revisions in `location`, memstore's own when None, before any of them runs. Reads only.

    Raises:
        TamperError: a released revision was changed, is missing, or was applied with another content; one was
            inserted, or has two files; or versions.sum was edited; and no repair accepts it. Where memstore is
            installed, all its revisions are released.
    """
    location = location or script_location()
    applied = read_applied(connection)
    findings = compare_all(revision_files(location), read_sums(location), applied, installed=is_installed(location))
    _refuse([each for each in findings if each.blocks and each.accepted is None])


def check_chain(location: Path | None = None) -> None:
    """Check that Alembic could run the revisions at all, where there is no database to ask yet.

    Raises:
        TamperError: one is missing that another comes after, or something else that no repair accepts. Alembic would
            say as much by a KeyError.
    """
    _refuse([each for each in _of_files(location) if not each.acceptable])


def warn_of_files(location: Path | None = None) -> None:
    """Write to stderr what is wrong with the revisions, where they are rendered as SQL: no database says who accepted.

    Raises:
        TamperError: as `check_chain`.
    """
    check_chain(location)
    for each in _of_files(location):
        sys.stderr.write(f"warning: {each}. What to do: memstore db verify\n")


def _of_files(location: Path | None) -> list[Finding]:
    location = location or script_location()
    findings = compare_files(revision_files(location), read_sums(location), installed=is_installed(location))
    return [each for each in findings if each.blocks]


def _refuse(findings: list[Finding]) -> None:
    if findings:
        raise TamperError(_REFUSAL, findings)
