"""How fast memories are found and loaded, beside the limit and beside peers, in one run.

* The limit is the very SQL that the store runs, transaction and tenant and all, through bare asyncpg, which makes no
  object of what comes back. Both search in turns: by vector, by vector with a filter that one in ten passes, and by
  vector and words, one of which is in every second memory.
* Peers search the same rows by the same vectors and tenants, by their own clients, as fast as they do and at the recall
  that they reach. Their tables are filled by COPY, and their vector index, HNSW as they make it, built after.
* Loading is from vectors and texts that are ready to a table that is indexed: `add_many` and `memstore index build`,
  and what each peer has for adding many, with its index made where the peer makes it.

Run: make bench, or python -m benchmarks.search [--rows 100000] [--load-rows 20000] [--peers mem0,langchain,langgraph]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.peer import PEERS, Driver
from benchmarks.server import (
    bare,
    big_server,
    build,
    describe,
    drop_database,
    load,
    make_tenants,
    memories_of,
    memory_place,
    ms,
    new_database,
    table,
    tenant_id,
    texts_of,
)
from benchmarks.vectors import clustered, nearest, questions
from memstore.migrations import upgrade
from memstore.store import Filters, PostgresStore, SearchPlan, Weights
from memstore.store.postgres.searching import SEARCH, arguments_of
from memstore.store.validation import checked_question, checked_scope
from tests.support import raw_dsn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

LIMIT = 10
WARM_UP = 10
MOST_RATIO, LEAST_FASTER, LEAST_LOAD = 1.35, 1.5, 4.0
QUESTION = "everywhere word1234 word17"
WAYS: dict[str, dict[str, Any]] = {
    "vector": {},
    "filtered": {"filters": Filters(source="s3")},
    "hybrid": {"text": QUESTION},
}


@dataclass(frozen=True)
class Data:
    """What is searched, by whom, and what is nearest."""

    vectors: NDArray[Any]
    texts: list[str]
    tenants: NDArray[Any]
    asked: NDArray[Any]
    askers: NDArray[Any]

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Return recall@10 of searches by vector."""
        return float(
            np.mean([len(set(is_) & set(was)) / len(is_) for is_, was in zip(self.truth(), found, strict=True)])
        )

    def truth(self) -> list[list[int]]:
        """Return the places of the ten nearest for each question."""
        found = []
        for question, asker in zip(self.asked, self.askers, strict=True):
            mine = np.flatnonzero(self.tenants == asker)
            found.append(mine[nearest(self.vectors[mine], question[None], LIMIT)[0]].tolist())
        return found


def data_of(rows: int, dim: int, tenants: int, count: int) -> Data:
    """Return rows of so many tenants of one size, at random, and questions."""
    vectors, chance = clustered(rows, dim), np.random.default_rng(7)
    asked = questions(vectors, count)
    of = chance.permutation(np.arange(rows) % tenants)
    return Data(vectors, texts_of(rows), of, asked, chance.integers(0, tenants, count))


async def load_ours(server: URL, data: Data) -> tuple[URL, float, float]:
    """Load a new database through the store, and build its index; return it and the seconds of both."""
    url = await new_database(server, "ours")
    await upgrade(url, embedding_dim=data.vectors.shape[1])
    memories = memories_of(data.vectors, data.tenants, data.texts)
    await make_tenants(url, memories)
    async with PostgresStore(url) as store:
        seconds = await load(store, memories)
    _, index_seconds = await build(url)
    return url, seconds, index_seconds


async def against_the_limit(url: URL, data: Data) -> tuple[list[list[str]], list[float], list[list[int]]]:
    """Search through the store and through asyncpg in turns; return lines, and how ours searched by vector."""
    lines, by_vector, found = [], [], []
    async with bare(url) as connection, PostgresStore(url, pool_size=2) as store:
        prepared = await connection.prepare(SEARCH)
        for way, given in WAYS.items():
            ours, limit = [], []
            for number in (*range(WARM_UP), *range(len(data.asked))):
                vector, tenant = data.asked[number], tenant_id(int(data.askers[number]))
                scope, arguments = store.scope(tenant), arguments_for(tenant, vector, given)
                for turn in (number % 2, 1 - number % 2):  # neither is always the one that finds the rows warm
                    started = perf_counter()
                    if turn:
                        result = await scope.search(vector=vector, limit=LIMIT, **given)
                        ours.append(perf_counter() - started)
                    else:
                        async with connection.transaction():
                            await connection.execute(f"SET LOCAL memstore.tenant_id = '{tenant}'")
                            rows = await prepared.fetch(*arguments)
                        limit.append(perf_counter() - started)
                assert {row["id"] for row in rows} == {hit.memory.id for hit in result}, way
                if way == "vector":
                    found.append([memory_place(hit.memory.id) for hit in result])
            ours, limit = ours[WARM_UP:], limit[WARM_UP:]
            if way == "vector":
                by_vector, found = ours, found[WARM_UP:]
            ratio = ms(ours) / ms(limit)
            lines.append([way, *(f"{ms(each, at):.2f}" for each in (ours, limit) for at in (50, 95)), f"{ratio:.2f}"])
    return lines, by_vector, found


def arguments_for(tenant: Any, vector: NDArray[Any], given: dict[str, Any]) -> list[Any]:
    """Return what the store would send for a search, as bare asyncpg takes it."""
    question = checked_question(
        vector, given.get("text"), LIMIT, None, given.get("filters", Filters()), Weights(), SearchPlan.AUTO
    )
    sent = list(arguments_of(checked_scope(tenant, None), question))
    return [
        vector if number == 2 else json.dumps(each) if isinstance(each, dict) else each  # the third is the vector
        for number, each in enumerate(sent)
    ]


async def measure(server: URL, folder: Path, options: argparse.Namespace) -> None:
    data = data_of(options.rows, options.dim, options.tenants, options.questions)
    url, _, _ = await load_ours(server, data)
    lines, ours, found = await against_the_limit(url, data)
    print(
        f"{options.rows:,} memories of {options.dim:,} dimensions, {options.tenants} tenants, "
        f"{options.questions} questions."
    )
    print(await describe(server), "\n")
    print(
        table(["search", "store p50 ms", "p95", "asyncpg p50 ms", "p95", f"ratio (wanted: {MOST_RATIO})"], lines), "\n"
    )

    recall, peers = data.recall(found), list(filter(None, options.peers.split(",")))
    lines = [["memstore", f"{recall:.3f}", f"{ms(ours):.2f}", f"{ms(ours, 95):.2f}", ""]]
    await drop_database(server, url)
    for name in peers:
        peer, url = PEERS[name], await new_database(server, f"peer_{name}")
        with Driver(peer, folder) as driver:
            driver.do("open", dsn=raw_dsn(url), dim=options.dim)
            tenants = [str(number) for number in data.tenants.tolist()]
            if not await peer.fill(raw_dsn(url), data.vectors, tenants, data.texts):
                driver.do("build")
            askers = [str(number) for number in data.askers.tolist()]
            driver.search(data.asked[:WARM_UP], askers[:WARM_UP], LIMIT)
            places, seconds = driver.search(data.asked, askers, LIMIT)
        times = ms(seconds) / ms(ours)
        lines.append(
            [peer.label, f"{data.recall(places):.3f}", f"{ms(seconds):.2f}", f"{ms(seconds, 95):.2f}", f"{times:.1f}"]
        )
        print(f"searched {peer.label}", file=sys.stderr, flush=True)
        await drop_database(server, url)
    print(table(["who", "recall@10", "p50 ms", "p95 ms", f"times ours (wanted: {LEAST_FASTER})"], lines), "\n")
    await compare_loads(server, folder, options, peers)


async def compare_loads(server: URL, folder: Path, options: argparse.Namespace, peers: list[str]) -> None:
    """Load a part of it, each in its own way."""
    data = data_of(options.load_rows, options.dim, options.tenants, 1)
    url, seconds, index_seconds = await load_ours(server, data)
    ours = seconds + index_seconds
    lines = [load_line("memstore", options.load_rows, seconds, index_seconds, ours)]
    await drop_database(server, url)
    for name in peers:
        peer, url = PEERS[name], await new_database(server, f"peer_{name}")
        with Driver(peer, folder) as driver:
            driver.do("open", dsn=raw_dsn(url), dim=options.dim)
            tenants = [str(number) for number in data.tenants.tolist()]
            seconds, index_seconds = driver.load(data.vectors, tenants, data.texts)
        lines.append(load_line(peer.label, options.load_rows, seconds, index_seconds, ours))
        print(f"loaded {peer.label}", file=sys.stderr, flush=True)
        await drop_database(server, url)
    print(f"{options.load_rows:,} memories loaded.\n")
    print(table(["who", "rows s", "index s", "rows/s, end to end", f"times ours (wanted: {LEAST_LOAD:g})"], lines))


def load_line(who: str, rows: int, seconds: float, index_seconds: float, ours: float) -> list[str]:
    """Return a line of the table of loads."""
    whole = seconds + index_seconds
    return [who, f"{seconds:.1f}", f"{index_seconds:.1f}", f"{rows / whole:,.0f}", f"{whole / ours:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--load-rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--peers", default=",".join(PEERS), help="empty for none")
    parser.add_argument("--shared-buffers", default="4GB", help="enough to hold it all")
    options = parser.parse_args()
    with big_server(options.shared_buffers) as (server, folder):
        asyncio.run(measure(server, folder, options))


if __name__ == "__main__":
    main()
