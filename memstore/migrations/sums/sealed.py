"""versions.sum: one line a released revision, in order, each line bound to all that stand before it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import TamperError

if TYPE_CHECKING:
    from pathlib import Path

SUMS = "versions.sum"
_LINE = re.compile(r"([A-Za-z0-9_]{1,32}) ([0-9a-f]{64}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A line of versions.sum.

    line: its number, from 1.
    checksum: sha256 of the revision's file in hex.
    running: what the line says that its running sum is.
    needed: what that has to be after the line before.
    """

    line: int
    revision: str
    checksum: str
    running: str
    needed: str


def running_sum(before: str, revision: str, checksum: str) -> str:
    """Return the running sum of a line, in hex; `before` is that of the line before, empty for the first."""
    return hashlib.sha256(f"{before} {revision} {checksum}".encode()).hexdigest()


def read_sums(location: Path) -> list[Sealed]:
    """Return the lines of versions.sum in `location`, oldest first.

    Raises:
        TamperError: there is no such file, or a line of it cannot be read.
    """
    path = location / SUMS
    if not path.is_file():
        raise TamperError(f"{path} is missing, by which released revisions are verified. {RESTORE}")
    sealed: list[Sealed] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise TamperError(
                f"{path}, line {number}: found {line!r}. Needed: REVISION SHA256 RUNNING_SHA256, with a space between. "
                + RESTORE
            )
        revision, checksum, running = match.groups()
        if any(each.revision == revision for each in sealed):
            raise TamperError(f"{path}, line {number}: {revision} stands there for the second time. {RESTORE}")
        before = sealed[-1].running if sealed else ""
        sealed.append(Sealed(number, revision, checksum, running, running_sum(before, revision, checksum)))
    return sealed


REINSTALL = "pip install --force-reinstall --no-deps memstore"
RESTORE = f"Put it back as it was released: git checkout, or where memstore is installed {REINSTALL}"
