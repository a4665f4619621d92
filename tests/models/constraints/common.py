"""The ids that rows of all families name, and the shape of a row."""

from __future__ import annotations

from typing import Any
from uuid import UUID

Row = dict[str, Any]

TENANT, OTHER_TENANT, USER, OTHER_USER, AGENT, OTHER_AGENT, SESSION, OTHER_SESSION = (
    str(UUID(int=number)) for number in range(1, 9)
)
TOOL, OTHER_TOOL, DOCUMENT, OTHER_DOCUMENT, ACTIVITY, OTHER_ACTIVITY = (
    str(UUID(int=number)) for number in range(9, 15)
)

TWIN = str(UUID(int=90))  # a row of each tenant
TAKEN = str(UUID(int=91))  # a row that no other refers to
NEW, NOBODY = str(UUID(int=100)), str(UUID(int=101))

LATER = "2100-01-01T00:00:00Z"

# The largest number that a column of type real holds.
LARGEST_REAL = 3.4028234e38


def sha256_of(length: int) -> str:
    """Return a bytea of that many bytes, as PostgreSQL reads it."""
    return "\\x" + "ab" * length
