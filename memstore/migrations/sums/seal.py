"""Sealing: a line in versions.sum for each revision that is released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import TamperError
from .chain import trailing
from .compare import compare_files
from .files import revision_files
from .sealed import SUMS, read_sums, running_sum

if TYPE_CHECKING:
    from pathlib import Path


def seal(location: Path) -> list[str]:
    """Append to versions.sum the revisions that it does not have yet, in order, and return them.

    Raises:
        TamperError: a line that is there would have to change, or two revisions come after the same one.
    """
    files, sealed = revision_files(location), read_sums(location)
    against = [each for each in compare_files(files, sealed) if each.blocks]
    if against:
        raise TamperError(f"nothing was sealed: a line of {SUMS} stays as it is, and these are against it", against)
    running, last = (sealed[-1].running, sealed[-1].revision) if sealed else ("", None)
    lines = []
    new = trailing(files, sealed)
    for file in new:
        if file.follows != (() if last is None else (last,)):
            raise TamperError(
                f"nothing was sealed: {file.path} follows {' and '.join(file.follows or ()) or 'nothing'}, and what is "
                f"released is one chain. Needed: down_revision = {last!r}"
            )
        running, last = running_sum(running, file.revision, file.checksum), file.revision
        lines.append(f"{file.revision} {file.checksum} {running}")
    if lines:
        _append(location / SUMS, lines)
    return [file.revision for file in new]


def check_sealed(location: Path) -> None:
    """Check that every revision is sealed, and is what it was then: else nothing is to be built of them.

    Raises:
        TamperError: one is not.
    """
    against = compare_files(revision_files(location), read_sums(location))
    if against:
        raise TamperError("not to be released: these are not sealed as they are. For new revisions: make seal", against)


def _append(path: Path, lines: list[str]) -> None:
    # Whole, and in one step: what is added to a last line without an end, or half written, nobody could read.
    before = path.read_text(encoding="utf-8").splitlines()
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(f"{line}\n" for line in (*before, *lines)), encoding="utf-8", newline="\n")
    new.replace(path)
