"""What differs between what a database has applied and what was released."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...models.vocabulary import RevisionProblem
from .chain import trailing
from .compare import ACCEPT, compare_files
from .findings import Finding
from .sealed import SUMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .applied import Applied
    from .files import RevisionFile
    from .sealed import Sealed

MAKES_THE_TABLE = "0016_migration_repairs"


def compare_all(
    files: Sequence[RevisionFile], sealed: Sequence[Sealed], applied: Applied, *, installed: bool = False
) -> list[Finding]:
    """Return what is wrong with the files, and with what a database has applied, each with who accepted it there."""
    of_files = compare_files(files, sealed, installed=installed, at=applied.revision)
    findings = [*of_files, *_compare_applied(files, sealed, applied, installed=installed)]
    return [replace(each, accepted=applied.repairs.get(each.key) if each.acceptable else None) for each in findings]


def _compare_applied(
    files: Sequence[RevisionFile], sealed: Sequence[Sealed], applied: Applied, *, installed: bool
) -> list[Finding]:
    sums = {line.revision: line.checksum for line in sealed}
    needed = {file.revision: file.checksum for file in files} | sums
    chain = [*sums, *(file.revision for file in trailing(files, sealed))]
    # A stamp may say that a revision is not there any more.
    above = chain[chain.index(applied.revision) + 1 :] if applied.revision in chain else ()
    found = []
    for revision, checksum in applied.checksums.items():
        if revision not in needed:
            found.append(_applied_unknown(revision, checksum, applied))
            continue
        # What was changed, accepted and then applied is accepted.
        fine = checksum in (None, needed[revision]) or (RevisionProblem.CHANGED, revision, checksum) in applied.repairs
        if not fine and revision not in above:
            released = installed or revision in sums
            found.append(_applied_differently(revision, checksum, needed[revision], applied, released=released))
    return found


def _applied_differently(
    revision: str, checksum: str | None, needed: str, applied: Applied, *, released: bool
) -> Finding:
    accept = ACCEPT if applied.can_accept else ACCEPT.replace(": ", f": memstore db upgrade {MAKES_THE_TABLE}, then ")
    return Finding(
        RevisionProblem.APPLIED_DIFFERENTLY,
        revision,
        object=_ledger_of(applied),
        found=f"sha256 {checksum} was applied",
        needed=f"sha256 {needed}",
        remedy=f"See whether the schema is as it should be: memstore db check. {accept}",
        checksum=checksum,
        # Without a table to accept it in, whoever has applied an older content could never come to one.
        blocks=released and applied.can_accept,
    )


def _applied_unknown(revision: str, checksum: str | None, applied: Applied) -> Finding:
    return Finding(
        RevisionProblem.APPLIED_UNKNOWN,
        revision,
        object=_ledger_of(applied),
        found=f"sha256 {checksum or 'unknown'} was applied",
        needed=f"a file of it, or a line in {SUMS}",
        remedy=f"Use the memstore that has it: pip install --upgrade memstore. {ACCEPT}",
        checksum=checksum,
        blocks=False,
    )


def _ledger_of(applied: Applied) -> str:
    return f"memstore.migration_ledger of {applied.database}"
