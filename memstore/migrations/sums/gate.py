"""The gate: no run begins while a released revision is not what it was, unless somebody has accepted that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import TamperError
from ...models.vocabulary import RevisionProblem
from ..scripts import script_location
from .applied import read_applied
from .compare import compare_files
from .compare_applied import compare_all
from .files import revision_files
from .sealed import read_sums

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from .files import RevisionFile
    from .findings import Finding

_REFUSAL = "what was released is not as it was. Nothing was done. To see it all, and what to do: memstore db verify"


def check_evidence(connection: Connection, location: Path | None = None) -> None:
    """Check the revisions in `location`, memstore's own when None, before any of them runs. Reads only.

    Raises:
        TamperError: a released revision was changed, is missing, or was applied with another content; one was
            inserted; or versions.sum was edited; and no repair accepts it.
    """
    location = location or script_location()
    files = revision_files(location)
    findings = compare_all(files, read_sums(location), read_applied(connection))
    refused = [each for each in findings if each.blocks and each.accepted is None]
    # To accept that a link is gone does not make a chain of the rest.
    refused += [each for each in _missing_links(files, findings) if each not in refused]
    if refused:
        raise TamperError(_REFUSAL, refused)


def check_chain() -> None:
    """Check that no released revision is missing that another comes after, where there is no database to ask yet.

    Raises:
        TamperError: one is. Alembic would say as much by a KeyError.
    """
    location = script_location()
    files = revision_files(location)
    refused = _missing_links(files, compare_files(files, read_sums(location)))
    if refused:
        raise TamperError(_REFUSAL, refused)


def _missing_links(files: Sequence[RevisionFile], findings: Sequence[Finding]) -> list[Finding]:
    followed = {revision for file in files for revision in file.follows or ()}
    return [each for each in findings if each.problem is RevisionProblem.MISSING and each.revision in followed]
