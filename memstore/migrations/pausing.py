"""Waiting a little, on any driver, and knowing when that helps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sqlalchemy.util import await_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0

_BUSY = ("55P03", "40P01")  # lock_not_available, deadlock_detected


def pauses(retries: int) -> Iterator[float]:
    """Yield how long to wait before each of so many retries, in seconds: longer and longer."""
    pause = FIRST_PAUSE_S
    for _ in range(retries):
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE_S)


def sleep(connection: Connection, seconds: float) -> None:
    """Wait, and where the driver is asynchronous let others on its event loop go on meanwhile."""
    if connection.dialect.is_async:
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


def sqlstate(error: DBAPIError) -> str | None:
    """Return the SQLSTATE of an error, whichever driver raised it."""
    state: str | None = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state


def is_busy(error: DBAPIError) -> bool:
    """Tell whether a statement failed because somebody else was in its way: a lock not granted in time, a deadlock."""
    return sqlstate(error) in _BUSY
