"""A process that holds the network of a real Milvus, runs it there, and forwards one port of 127.0.0.1 into it.

Milvus listens on all interfaces, for anybody. So this binds a port first and moves into a network of its own then:
the port stays outside, and all that is opened later is inside. It takes orders, a line each, from the socket that is
its standard input, and answers each with a line. When the socket closes, also because the tests were killed, Milvus
is killed and its folder removed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import STDOUT, Process
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.milvus.namespace import die_with_parent, enter_new_network
from tests.milvus.wheel import environment, unpack, write_settings

PORT = 19530
HEALTH_PORT = 9091


class Gate:
    """Milvus in its network: `start`, `state` and `end SIGNAL` are the orders."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.program = program
        self.milvus: Process | None = None

    async def obey(self, order: str) -> str:
        match order.split():
            case ["start"]:
                return str(await self.start())
            case ["state"]:
                return await self.state()
            case ["end", number]:
                return await self.end(signal.Signals(int(number)))
            case _:
                raise ValueError(order)

    async def start(self) -> int:
        with (self.folder / "log").open("ab") as log:
            self.milvus = await asyncio.create_subprocess_exec(
                self.program,
                *("run", "standalone"),
                cwd=self.folder,
                env=environment(self.program),
                stdout=log,
                stderr=STDOUT,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        return self.milvus.pid

    async def state(self) -> str:
        if self.milvus is None or self.milvus.returncode is not None:
            return "ended"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", HEALTH_PORT)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
        except ConnectionError:
            return "starting"
        return "ready" if answer.endswith(b"OK") else "starting"

    async def end(self, number: signal.Signals) -> str:
        if self.milvus is not None and self.milvus.returncode is None:
            self.milvus.send_signal(number)
            await self.milvus.wait()
        return "ended"


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect what came from outside with Milvus, until either side ends."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", PORT)
    except ConnectionError:
        writer.transport.abort()  # refused inside is refused outside
        return
    await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # a reset is an end like any other
        while data := await reader.read(2**18):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(folder: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    enter_new_network()
    gate = Gate(folder, unpack())
    write_settings(folder)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
    try:
        async with await asyncio.start_server(forward, sock=listener):
            writer.write(f"{listener.getsockname()[1]}\n".encode())
            while order := await reader.readline():
                writer.write(f"{await gate.obey(order.decode())}\n".encode())
    finally:
        await gate.end(signal.SIGKILL)
    shutil.rmtree(folder)  # but for an error, which the log in it tells


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
