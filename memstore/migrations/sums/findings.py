"""What is found wrong with the revisions, and who accepted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...models.vocabulary import RevisionProblem

if TYPE_CHECKING:
    from datetime import datetime

Key = tuple[RevisionProblem, str, str | None]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A repair: who accepted a finding in this database, when and why."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a revision that is not as it was released.

    object: the file, the line or the database that it is about.
    checksum: sha256 of the content that a repair would accept, in hex; None where there is no content.
    blocks: whether upgrade and downgrade refuse for it, unless it is accepted.
    acceptable: whether a repair can accept it; not where no run could begin all the same.
    accepted: by whom it was accepted, None where nobody has.
    """

    problem: RevisionProblem
    revision: str
    object: str
    found: str
    needed: str
    remedy: str
    checksum: str | None
    blocks: bool
    acceptable: bool = True
    accepted: Acceptance | None = None

    @property
    def key(self) -> Key:
        """What a repair accepts: this problem, of this revision, with exactly this content."""
        return self.problem, self.revision, self.checksum

    def __str__(self) -> str:
        return f"{self.revision}: {self.problem} ({self.object}): found {self.found}, needed {self.needed}"
