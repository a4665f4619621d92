"""Ids of new revisions: the next number, and what the revision does."""

from __future__ import annotations

import re

from ..errors import MigrationError
from .scripts import revisions

MAX_REVISION_ID = 32  # alembic_version.version_num is varchar(32)


def next_revision_id(message: str, *, after: int = 0) -> str:
    """Return the id of a revision after head, such as `0017_agent_notes`, 32 characters at most.

    `after` is how many revisions come between.

    Raises:
        MigrationError: `message` has no letter or digit to make one of.
    """
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    if not slug:
        raise MigrationError(f"the message {message!r} has no letter to make an id of. Type: -m 'what it does'")
    number = max((int(each[:4]) for each in revisions()), default=0) + 1 + after
    return f"{number:04d}_{slug}"[:MAX_REVISION_ID].rstrip("_")
