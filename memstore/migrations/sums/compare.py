"""What differs between the revision files and versions.sum."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from ...models.vocabulary import RevisionProblem
from .findings import Finding
from .sealed import RESTORE, SUMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .files import RevisionFile
    from .sealed import Sealed

ACCEPT = "To accept it: memstore db repair --reason '...'"


def compare_files(files: Sequence[RevisionFile], sealed: Sequence[Sealed]) -> list[Finding]:
    """Return what is not as it was released: of the sealed revisions in their order, then of the others by name."""
    named: dict[str, list[RevisionFile]] = defaultdict(list)
    for file in files:
        named[file.revision].append(file)
    found: list[Finding] = []
    others: list[RevisionFile] = []
    for line in sealed:
        if line.running != line.needed:
            found.append(_sums_edited(line))
        same = named.pop(line.revision, [])
        its_own = next((file for file in same if file.checksum == line.checksum), same[0] if same else None)
        others += [file for file in same if file is not its_own]
        if its_own is None:
            found.append(_missing(line))
        elif its_own.checksum != line.checksum:
            found.append(_changed(line, its_own))
    others += [file for same in named.values() for file in same]
    after = {each.revision for each in trailing(files, sealed)}
    return found + [_unknown(file) if file.revision in after else _inserted(file, sealed) for file in others]


def trailing(files: Sequence[RevisionFile], sealed: Sequence[Sealed]) -> list[RevisionFile]:
    """Return the files that are not sealed and come after the last one that is, each after those it follows."""
    known = {line.revision for line in sealed}
    reached = {sealed[-1].revision} if sealed else set()
    waiting = [file for file in files if file.revision not in known and file.follows is not None]
    found: list[RevisionFile] = []
    while ready := [file for file in waiting if set(file.follows or ()) <= reached and (file.follows or not sealed)]:
        found += ready
        reached |= {file.revision for file in ready}
        waiting = [file for file in waiting if file not in ready]
    return found


def _changed(line: Sealed, file: RevisionFile) -> Finding:
    return Finding(
        RevisionProblem.CHANGED,
        line.revision,
        object=str(file.path),
        found=f"sha256 {file.checksum}",
        needed=f"sha256 {line.checksum}, as in {SUMS}",
        remedy=f"{RESTORE}. What is to change goes into a new revision: memstore db revision -m '...'. {ACCEPT}",
        checksum=file.checksum,
        blocks=True,
    )


def _missing(line: Sealed) -> Finding:
    return Finding(
        RevisionProblem.MISSING,
        line.revision,
        object=f"{SUMS}, line {line.line}",
        found="no file of this revision",
        needed=f"one with sha256 {line.checksum}",
        remedy=f"{RESTORE}. {ACCEPT}",
        checksum=None,
        blocks=True,
    )


def _sums_edited(line: Sealed) -> Finding:
    content = f"{line.needed} {line.revision} {line.checksum} {line.running}"
    return Finding(
        RevisionProblem.SUMS_EDITED,
        line.revision,
        object=f"{SUMS}, line {line.line}",
        found=f"running sum {line.running}",
        needed=f"{line.needed} after the line before: this line, or one before it, was edited",
        remedy=f"{RESTORE}. {ACCEPT}",
        checksum=hashlib.sha256(content.encode()).hexdigest(),
        blocks=True,
    )


def _unknown(file: RevisionFile) -> Finding:
    return Finding(
        RevisionProblem.UNKNOWN,
        file.revision,
        object=str(file.path),
        found=f"sha256 {file.checksum}, a revision after the last that was released",
        needed=f"a line in {SUMS}",
        remedy="When it is released: make seal. Where memstore is installed: take the file away",
        checksum=file.checksum,
        blocks=False,
    )


def _inserted(file: RevisionFile, sealed: Sequence[Sealed]) -> Finding:
    if file.follows is None:
        where = "a file that does not say which revision it is"
    elif any(line.revision == file.revision for line in sealed):
        where = "a second file of a revision that was released"
    else:
        where = f"down_revision = {', '.join(map(repr, file.follows)) or None}"
    last = sealed[-1].revision if sealed else None
    return Finding(
        RevisionProblem.INSERTED,
        file.revision,
        object=str(file.path),
        found=where,
        needed=f"what is not released comes after what is: down_revision = {last!r}",
        remedy=f"Take the file away, or put it at the end. {ACCEPT}",
        checksum=file.checksum,
        blocks=True,
    )
