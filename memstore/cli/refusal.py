"""What a database said that nobody foresaw."""

from __future__ import annotations

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError

from ..database import driver_error


def refusal(error: Exception) -> str | None:
    """Return the server's own words, which say more than a traceback would; None where something else failed."""
    if not isinstance(error, DBAPIError | PostgresError | InterfaceError):
        return None
    words = str(driver_error(error)).splitlines() or [type(error).__name__]
    return words[0]
