"""Milvus Lite as a server, which several processes share, and which can be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.milvus.servers import SECONDS_TO_START, MilvusServerError

# By default it writes a file when it has 128 MiB, which no trial comes to.
_SETTINGS = {"MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES": str(2**18)}
_PROGRAM = "import sys; from milvus_lite.cmdline import main; sys.exit(main())"


@dataclass
class LiteServer:
    """A Milvus Lite that listens on 127.0.0.1, at the same `uri` from its first start to `kill` for good."""

    folder: Path
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on the data that is there, and return when it answers."""
        arguments = ["server", "--data-dir", str(self.folder / "data"), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *arguments],
                cwd=self.folder,
                env=os.environ | _SETTINGS,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise MilvusServerError((self.folder / "log").read_text()[-3_000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it as it stands, and return when it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
