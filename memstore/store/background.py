"""What a store does after it has answered: nobody waits for it, and its errors are logged."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

MAX_WAITING = 1_000
_CLOSING_TIME = 10.0
_log = logging.getLogger("memstore.store")


class Background:
    """Jobs that are run one after the other, so that they take a single connection from those who wait for answers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def start(self, what: str, job: Coroutine[Any, Any, object]) -> None:
        """Run a job when those before it are done; with too many waiting it is left out, and that is logged."""
        if len(self._tasks) >= MAX_WAITING:
            job.close()
            _log.warning("%s was left out: %d jobs are waiting already", what, len(self._tasks))
            return
        task = asyncio.create_task(self._run(what, job))
        self._tasks.add(task)  # asyncio itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until there is no job left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Wait for the jobs, for ten seconds; what is not done then is cancelled."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSING_TIME)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, what: str, job: Coroutine[Any, Any, object]) -> None:
        try:
            async with self._turn:
                await job
        except Exception:  # noqa: BLE001 -- whatever it was, there is nobody to raise it to
            _log.warning("%s failed", what, exc_info=True)
        finally:
            job.close()  # one that was cancelled before its turn would warn that it was never awaited
