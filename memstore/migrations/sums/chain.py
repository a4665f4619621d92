"""How revision files follow one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .files import RevisionFile
    from .sealed import Sealed


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


def followed(files: Sequence[RevisionFile]) -> set[str]:
    """Return the revisions that another one comes after."""
    return {revision for file in files for revision in file.follows or ()}


def is_link(file: RevisionFile, files: Sequence[RevisionFile]) -> bool:
    """Tell whether a file is one link of a chain: after one that is there, and nothing beside it."""
    if file.follows is None or len(file.follows) > 1:
        return False
    others = [each for each in files if each is not file]
    there = {each.revision for each in others}
    beside = any(
        each.follows == file.follows or not set(file.follows).isdisjoint(each.follows or ()) for each in others
    )
    return file.revision not in there and set(file.follows) <= there and not beside
