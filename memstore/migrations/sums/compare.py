"""What differs between the revision files and versions.sum."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from ...models.vocabulary import RevisionProblem
from .chain import followed, is_link, trailing
from .findings import Finding
from .sealed import REINSTALL, RESTORE, SUMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .files import RevisionFile
    from .sealed import Sealed

ACCEPT = "To accept it: memstore db repair --reason '...'"


def compare_files(
    files: Sequence[RevisionFile], sealed: Sequence[Sealed], *, installed: bool = False, at: str | None = None
) -> list[Finding]:
    """Return what is not as it was released: of the sealed revisions in their order, then of the others by name.

    Args:
        files: the revisions as they are.
        sealed: the revisions as they were released.
        installed: whether they are those of an installed memstore, which has none under work.
        at: the revision that a database is at.
    """
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
            found.append(_missing(line, needed=line.revision in followed(files) | {at}))
        elif its_own.checksum != line.checksum:
            found.append(_changed(line, its_own))
    others += [file for same in named.values() for file in same]
    after = {each.revision for each in trailing(files, sealed)}
    taken = {line.revision for line in sealed}
    for file in others:
        if file.revision in after and file.revision not in taken:
            found.append(_unknown(file, installed=installed))
        else:
            found.append(_inserted(file, files, sealed, second=file.revision in taken))
        taken.add(file.revision)
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


def _missing(line: Sealed, *, needed: bool) -> Finding:
    return Finding(
        RevisionProblem.MISSING,
        line.revision,
        object=f"{SUMS}, line {line.line}",
        found="no file of this revision",
        needed=f"one with sha256 {line.checksum}",
        remedy=RESTORE if needed else f"{RESTORE}. {ACCEPT}",
        checksum=None,
        blocks=True,
        acceptable=not needed,
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


def _unknown(file: RevisionFile, *, installed: bool) -> Finding:
    return Finding(
        RevisionProblem.UNKNOWN,
        file.revision,
        object=str(file.path),
        found=f"sha256 {file.checksum}, a revision after the last that was released",
        needed=f"a line in {SUMS}",
        remedy=f"Reinstall memstore: {REINSTALL}. {ACCEPT}" if installed else "When it is released: make seal",
        checksum=file.checksum,
        # The end of the sums may have been cut off, and what it sealed changed: here there is no git to show it.
        blocks=installed,
    )


def _inserted(file: RevisionFile, files: Sequence[RevisionFile], sealed: Sequence[Sealed], *, second: bool) -> Finding:
    last = sealed[-1].revision if sealed else None
    needed, remedy = f"what is not released comes after what is: down_revision = {last!r}", "Take the file away"
    if second:
        where, needed = "a second file of this revision", "one"
    elif file.follows is None:
        where = "a file that does not say which revision it is"
    else:
        where = f"down_revision = {', '.join(map(repr, file.follows)) or None}"
        remedy += ", or put it at the end"
    acceptable = is_link(file, files)
    return Finding(
        RevisionProblem.INSERTED,
        file.revision,
        object=str(file.path),
        found=where,
        needed=needed,
        remedy=f"{remedy}. {ACCEPT}" if acceptable else remedy,
        checksum=file.checksum,
        blocks=True,
        acceptable=acceptable,
    )
