"""What the drivers of all peers share: commands and answers as lines of JSON, and times of the client's call alone.

A driver runs in the environment of its peer, where memstore is not installed: nothing but numpy is imported here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from time import perf_counter
from typing import Any, Protocol

import numpy as np


class Client(Protocol):
    """A peer, used as its documentation says, with its vector index on."""

    async def open(self, dsn: str, dim: int) -> None:
        """Connect, and make the tables."""

    async def load(self, vectors: Any, tenants: list[str], texts: list[str]) -> None:
        """Add all of these by the peer's own way of adding many; the id of each is its place."""

    async def build(self) -> None:
        """Build the vector index, where the peer does that after loading."""

    async def search(self, vector: list[float], tenant: str, limit: int) -> list[int]:
        """Return the places of what is nearest."""


async def serve(client: Client) -> None:
    """Carry out commands until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        print(json.dumps(await _answer(client, command)), file=answers, flush=True)


async def _answer(client: Client, command: dict[str, Any]) -> dict[str, Any]:
    match command.pop("do"):
        case "open":
            await client.open(**command)
            return {}
        case "load":
            vectors = np.load(command["vectors"])[: command["rows"]]
            given = json.loads(open(command["rest"], encoding="utf-8").read())  # noqa: ASYNC230, PTH123, SIM115
            tenants, texts = given["tenants"][: len(vectors)], given["texts"][: len(vectors)]
            started = perf_counter()
            await client.load(vectors, tenants, texts)
            loaded = perf_counter()
            await client.build()
            return {"load_s": loaded - started, "index_s": perf_counter() - loaded}
        case "build":
            await client.build()
            return {}
        case "search":
            asked = np.load(command["vectors"])
            found, seconds = [], []
            for place, tenant in enumerate(command["tenants"]):
                vector = asked[place].tolist()
                started = perf_counter()
                found.append(await client.search(vector, tenant, command["limit"]))
                seconds.append(perf_counter() - started)
            return {"found": found, "seconds": seconds}
        case other:
            raise ValueError(other)


def main(client: Client) -> None:
    """Run a driver."""
    asyncio.run(serve(client))
