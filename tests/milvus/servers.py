"""Milvus for tests: a real server that can be killed and started again, and what a test gets of either engine."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pymilvus import MilvusClient, MilvusException

from tests.support import ROOT, fastest_folder

Engine = Literal["lite", "real"]

SECONDS_TO_START = 120
SECONDS_TO_END = 30
NOT_LOADED = 101  # the code of the error


class MilvusServerError(Exception):
    """The real Milvus did not do what it was asked to in time."""


@dataclass
class MilvusServer:
    """A real Milvus in a network of its own, at the same `uri` from its first start to `close`."""

    folder: Path = field(
        default_factory=lambda: Path(tempfile.mkdtemp(prefix="memstore-test-milvus-", dir=fastest_folder()))
    )
    uri: str = field(init=False)
    pid: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Open the gate to it; nothing answers behind it until `start`."""
        self._orders, theirs = socket.socketpair()
        with theirs, self.log.open("ab") as log:
            self.gate = subprocess.Popen(
                [sys.executable, "-m", "tests.milvus.gate", self.folder],
                cwd=ROOT,
                stdin=theirs,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then closes this
            )
        self.uri = f"http://127.0.0.1:{self._answer(SECONDS_TO_START)}"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Start it on the data that is there, and return when it is healthy."""
        self.pid = int(self._ask("start", SECONDS_TO_END))
        deadline = time.monotonic() + SECONDS_TO_START
        while (state := self._ask("state", SECONDS_TO_END)) != "ready":
            if state == "ended" or time.monotonic() > deadline:
                raise self._error(f"Milvus is {state}, and should be ready")
            time.sleep(0.05)

    def is_running(self) -> bool:
        return self._ask("state", SECONDS_TO_END) != "ended"

    def stop(self) -> None:
        """Ask it to end, and return when it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as it stands, and return when it is gone."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it and all that belongs to it, the data too."""
        self._orders.close()
        try:
            self.gate.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.gate.kill()  # and Milvus dies with it
            self.gate.wait()
            shutil.rmtree(self.folder)
            raise

    def _end(self, number: signal.Signals) -> None:
        self._ask(f"end {number:d}", SECONDS_TO_END)
        self.pid = None

    def _ask(self, order: str, seconds: float) -> str:
        self._orders.sendall(f"{order}\n".encode())
        return self._answer(seconds)

    def _answer(self, seconds: float) -> str:
        self._orders.settimeout(seconds)
        answer = b""
        while not answer.endswith(b"\n"):
            try:
                received = self._orders.recv(100)
            except TimeoutError as error:
                raise self._error(f"the gate to Milvus did not answer within {seconds} s") from error
            if not received:
                raise self._error("the gate to Milvus has ended")
            answer += received
        return answer.decode().strip()

    def _error(self, event: str) -> MilvusServerError:
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        latest = log.rpartition("Welcome to use Milvus!")[2]
        said = latest.partition("\n\ngoroutine ")[0]  # thousands of lines follow that a panic leaves
        return MilvusServerError("\n".join([event, *(line[:300] for line in said.splitlines()[-30:])]))


@dataclass(frozen=True)
class Milvus:
    """What a test gets: an empty Milvus of one engine, to connect to at `uri`; `server` is there for the real one."""

    engine: Engine
    uri: str
    server: MilvusServer | None = None


def wait_until_loaded(client: MilvusClient, collection: str, seconds: float = 90) -> None:
    """Return when a collection can be queried again: a real Milvus that was killed loads it some time after it starts.

    Raises:
        MilvusServerError: that took longer than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.query(collection, output_fields=["count(*)"], timeout=30)
        except MilvusException as error:
            if error.code != NOT_LOADED or time.monotonic() > deadline:
                raise MilvusServerError(f"{collection} cannot be queried") from error
            time.sleep(0.2)
        else:
            return
