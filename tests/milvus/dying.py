"""A run of the mirror in a process of its own that kills itself at one of its writes; for test_killed_anywhere.py.

    python -m tests.milvus.dying FOLDER HOW WRITE up|down|prune [REVISION]

FOLDER has the versions of the collection, DATABASE_URL and MILVUS_URI name the two stores. What is written to Milvus
and to PostgreSQL's ledger is counted together, from 1: the process ends before the write of that number, or during it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from memstore.database import create_engine
from memstore.milvus import Milvus, move, moving, open_milvus, prune, pruning
from memstore.milvus.revisions import load_chain

LONGEST_WRITE_S = 0.02


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Countdown:
    """Calls that are counted; one of them is fatal."""

    def __init__(self, how: str, write: int) -> None:
        self._is_before, self._left = how == "before", write

    def around(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and self._is_before:
                _die()
            elif self._left == 0:
                threading.Timer(random.uniform(0, LONGEST_WRITE_S), _die).start()
            return await call(*args, **kwargs)

        return counted


async def _main(folder: str, how: str, write: str, command: str, *revision: str) -> None:
    chain = load_chain(Path(folder))
    engine = create_engine(os.environ["DATABASE_URL"])
    async with await open_milvus() as milvus:
        countdown = _Countdown(how, int(write))
        Milvus.write = countdown.around(Milvus.write)  # type: ignore[assignment, method-assign]
        moving.record = pruning.record = countdown.around(moving.record)  # type: ignore[assignment, attr-defined]
        if command == "prune":
            await prune(engine, milvus)
        else:
            await move(engine, milvus, *revision, chain=chain, upwards=command == "up")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
