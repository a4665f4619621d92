"""A lock of files that several processes write, let go of by the operating system when its holder dies."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...errors import StoreBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FIRST_WAIT, _LONGEST_WAIT = 0.001, 0.05


@contextmanager
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of a file, which is created where it is missing and never removed. Waits in this thread.

    Raises:
        StoreBusyError: somebody else held it for `timeout` seconds.
    """
    # Opened anew each time: such a lock belongs to the opening, and keeps threads of one process apart too.
    with path.open("a") as file:
        deadline = time.monotonic() + timeout
        wait = _FIRST_WAIT
        while not _lock(file.fileno()):
            if time.monotonic() >= deadline:
                raise StoreBusyError(
                    f"{path} was locked by another writer for {timeout:g} s. Try again, or give FileStore a longer "
                    "lock_timeout"
                )
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        yield


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
