"""Relays of the mirror as an operator runs them: processes that follow, are killed, and are started again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support import ROOT


@dataclass(eq=False)
class Relay:
    """One process of `memstore milvus sync --follow`, and what it has said.

    entries: changes that it has reported to have taken out of the outbox.
    reports: how often it has reported.
    troubles: what it has complained of.
    """

    process: Process
    entries: int = 0
    reports: int = 0
    troubles: list[str] = field(default_factory=list)
    is_killed: bool = False
    is_done: bool = False

    async def listen(self) -> None:
        """Listen to it until it has ended."""
        await asyncio.gather(self._reports(), self._troubles())
        await self.process.wait()

    def kill(self) -> None:
        self.is_killed = True
        self.process.kill()

    async def _reports(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.endswith(b"\n"):  # else it was killed within it
                told = json.loads(line)
                assert told["synced"]["entries"] >= self.entries
                self.entries = told["synced"]["entries"]
                self.reports += 1
                self.is_done = told["event"] == "done"

    async def _troubles(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.troubles.append(line.decode().rstrip())


@dataclass
class Relays:
    """Relays in places: one that has ended is followed by another, until its place is given up."""

    environment: Mapping[str, str]
    batch_size: int
    running: list[Relay] = field(default_factory=list)
    past: list[Relay] = field(default_factory=list)
    _wanted: int = 0

    @property
    def reported(self) -> int:
        """How many changes all of them have reported to have taken out."""
        return sum(each.entries for each in (*self.running, *self.past))

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Have one more at work."""
        self._wanted += 1
        tasks.create_task(self._keep(), name="a relay's place")

    def give_up(self) -> None:
        """Have one less at work: it is asked to end."""
        self._wanted -= 1
        if len(self.running) > self._wanted:
            self.running[0].process.send_signal(signal.SIGTERM)

    async def kill_one(self, chance: random.Random) -> Relay:
        """Kill one of those that run, and return it when it is gone; another one follows it."""
        while not self.running:
            await asyncio.sleep(0.01)
        killed = chance.choice(self.running)
        killed.kill()
        while killed in self.running:
            await asyncio.sleep(0.01)
        return killed

    async def _keep(self) -> None:
        while len(self.running) < self._wanted:
            relay = Relay(await self._started())
            self.running.append(relay)
            try:
                await relay.listen()
            except BaseException:
                relay.process.kill()
                await relay.process.wait()
                raise
            self.running.remove(relay)
            self.past.append(relay)

    async def _started(self) -> Process:
        arguments = ("milvus", "sync", "--follow", "--json", "--batch-size", str(self.batch_size))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "memstore", *arguments),
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=PIPE,
            stderr=PIPE,
        )
