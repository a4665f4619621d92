"""How fast the mirror in Milvus follows, and how it is searched, beside PostgreSQL: Milvus Lite, and a real server.

* Following: `sync` drains an outbox of all memories into an empty collection, beside the limit, a bare loop of
  `MilvusClient.upsert` over the very same entities, ready, 1,000 at a time, into another empty collection of the same
  fields and indexes; and the filling of a third one, as `move` does it. In turns, the order reversed each time.
* Searching: by vector, for a tenant that has half of the memories, one that has a tenth, and 40 that have a hundredth
  each, with each vector index. `nearest` is Milvus alone, `search` gives what it found as PostgreSQL has it, `fresh` is
  the same with `read_your_writes`; in turns with the search in PostgreSQL, with the index that `auto` builds. Recall is
  against numpy.

What is searched is flushed before an index is built, and a server loads its collection anew after: until then it goes
on without the index, and Milvus Lite reads entities one by one in Python.

Run: make bench, or python -m benchmarks.milvus [--rows 20000] [--engines lite,real] [--indexes flat,hnsw,ivf_flat]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.mirror import BARE, BATCH, LABELS, TIMEOUT_S, Mirror, mirror_of, missing, running
from benchmarks.server import (
    bare,
    big_server,
    describe,
    fill,
    memory_place,
    ms,
    new_database,
    table,
    tenant_id,
    texts_of,
)
from benchmarks.tenant_layouts import LIMIT, Point, Task, task_of
from benchmarks.vectors import clustered, questions
from memstore import create_engine
from memstore.milvus import MilvusStore, VectorIndexChoice, enable_mirror, sync
from memstore.milvus.copying import Target
from memstore.milvus.fill import fill as fill_collection
from memstore.milvus.source import open_source
from memstore.store import PostgresStore
from memstore.store.indexes import IndexedTable, IndexSelection, build_indexes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray
    from pymilvus import MilvusClient
    from sqlalchemy.engine import URL

    from memstore.milvus.entities import Entity

LEAST_SHARE, LEAST_RECALL = 0.6, 0.98
WARM_UP = 5
SMALL = 40
POINTS = (
    Point("mirror", "1%", tuple(range(2, 2 + SMALL))),
    Point("mirror", "10%", (1,)),
    Point("mirror", "50%", (0,)),
)
WAYS = ("PostgreSQL", "nearest", "search", "fresh")
WRITES = "limit: MilvusClient.upsert of ready entities", "`sync`", "filling, as `move` does"


@dataclass(frozen=True)
class Data:
    """What is mirrored, of whom, and the questions of each kind of tenant."""

    vectors: NDArray[Any]
    tenants: NDArray[Any]
    tasks: tuple[Task, ...]


def data_of(rows: int, dim: int, count: int) -> Data:
    """Return memories of tenants with a half, a tenth and a hundredth of them, at random, and questions."""
    vectors = clustered(rows, dim)
    shares = [0.5, 0.1, *[0.4 / SMALL] * SMALL]
    of = np.random.default_rng(7).permutation(np.repeat(np.arange(len(shares)), np.diff(ends_of(shares, rows))))
    asked = questions(vectors, count)
    return Data(vectors, of, tuple(task_of(point, vectors, of, asked) for point in POINTS))


def ends_of(shares: Sequence[float], rows: int) -> NDArray[Any]:
    """Return where each tenant begins and the last one ends, of so many rows."""
    return np.round(np.cumsum([0, *shares]) * rows).astype(int)


async def bare_loop(mirror: Mirror, entities: list[Entity]) -> float:
    """Write entities as anybody would, and return the seconds."""

    def write(client: MilvusClient) -> float:
        started = perf_counter()
        for start in range(0, len(entities), BATCH):
            client.upsert(BARE, entities[start : start + BATCH], timeout=TIMEOUT_S)
        return perf_counter() - started

    await mirror.empty_bare()
    return await mirror.milvus.write(write)


async def drained(mirror: Mirror, rows: int) -> float:
    """Enqueue all memories, drain them into an empty collection, and return the seconds that the draining took."""
    await mirror.empty()
    async with bare(mirror.url) as connection:
        await connection.execute("TRUNCATE memstore.mirror_outbox")
    await enable_mirror(mirror.engine)
    started = perf_counter()
    done = await sync(mirror.engine, mirror.milvus)
    seconds = perf_counter() - started
    assert (done.upserted, done.left) == (rows, 0), done
    return seconds


async def filled(mirror: Mirror, rows: int) -> float:
    """Fill an empty collection as `move` does, and return the seconds."""
    await mirror.empty()
    async with open_source(mirror.engine) as source:
        started = perf_counter()
        written = await fill_collection(source, mirror.milvus, Target(mirror.physical, mirror.spec))
        seconds = perf_counter() - started
    assert written == rows, written
    return seconds


async def following(mirror: Mirror, data: Data, rounds: int) -> list[list[str]]:
    """Write all memories in each way, in turns, the last of them one that is searched after; return the lines."""
    entities, rows = await mirror.entities(data.tenants), len(data.tenants)
    seconds: dict[str, list[float]] = {way: [] for way in WRITES}
    sides: list[Callable[[], Awaitable[float]]] = [
        lambda: bare_loop(mirror, entities),
        lambda: drained(mirror, rows),
        lambda: filled(mirror, rows),
    ]
    turns = list(zip(WRITES, sides, strict=True))
    for number in range(rounds):
        for way, side in turns if number % 2 == 0 else reversed(turns):
            seconds[way].append(await side())
        told = ", ".join(f"{way} {rows / took[-1]:,.0f}/s" for way, took in seconds.items())
        print(f"round {number + 1}: {told}", file=sys.stderr, flush=True)
    limit = seconds[WRITES[0]]
    lines = [[WRITES[0], f"{rows / np.median(limit):,.0f}", "", "", ""]]
    for way, wanted in zip(WRITES[1:], (f"at least {LEAST_SHARE}", ""), strict=True):
        ratios = [one / other for one, other in zip(limit, seconds[way], strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append([way, f"{rows / np.median(seconds[way]):,.0f}", f"{np.median(ratios):.2f}", each, wanted])
    return lines


@dataclass
class Searched:
    """What came of searching in one way: one entry a question in each list."""

    found: list[list[int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def times(self) -> str:
        """Return p50 and p95."""
        return f"{ms(self.seconds):.1f} / {ms(self.seconds, 95):.1f}"


async def searching(stores: tuple[PostgresStore, MilvusStore], task: Task) -> dict[str, Searched]:
    """Search for each question in each way, in turns, after a few to warm up."""
    postgres, milvus = stores
    warm = min(WARM_UP, len(task.asked))
    outcome = {way: Searched() for way in WAYS}
    for number in (*range(warm), *range(len(task.asked))):
        vector, tenant = task.asked[number], tenant_id(int(task.tenants[number]))
        ours, mirrored = postgres.scope(tenant), milvus.scope(tenant)
        for turn in range(len(WAYS)):
            way = WAYS[(turn + number) % len(WAYS)]
            started = perf_counter()
            match way:
                case "PostgreSQL":
                    ids = [hit.memory.id for hit in await ours.search(vector=vector, limit=LIMIT)]
                case "nearest":
                    ids = [hit.memory_id for hit in await mirrored.nearest(vector, limit=LIMIT)]
                case _:
                    fresh = way == "fresh"
                    ids = [
                        hit.memory.id
                        for hit in await mirrored.search(vector=vector, limit=LIMIT, read_your_writes=fresh)
                    ]
            outcome[way].seconds.append(perf_counter() - started)
            outcome[way].found.append([memory_place(id_) for id_ in ids])
    return {way: Searched(each.found[warm:], each.seconds[warm:]) for way, each in outcome.items()}


def line_of(index: str, task: Task, outcome: dict[str, Searched]) -> list[str]:
    """Return the line of a kind of tenant and an index."""
    recalls = [f"{task.recall(outcome[way].found):.3f}" for way in WAYS[:3]]
    ours = ms(outcome[WAYS[0]].seconds)
    ratios = [f"{ms(outcome[way].seconds) / ours:.1f}" for way in WAYS[1:]]
    return [index, task.point.name, *recalls, *ratios, *(outcome[way].times() for way in WAYS)]


HEADS_OF_SEARCH = (
    *("index", "tenant", "recall@10 PostgreSQL", "nearest", "search"),
    *("times PostgreSQL: nearest", "search", "fresh"),
    *("PostgreSQL p50 / p95 ms", "nearest", "search", "fresh"),
)


async def with_each_index(mirror: Mirror, data: Data, choices: Sequence[str]) -> list[list[str]]:
    """Search with each vector index; return the lines."""
    lines = []
    for choice in map(VectorIndexChoice, choices):
        index = mirror.milvus.capabilities.vector_index(choice)
        await mirror.change_index(index)
        default = " (default)" if index == mirror.milvus.capabilities.default_index else ""
        # A store knows for a while how a collection is searched: each index has a new one.
        async with PostgresStore(mirror.url, pool_size=2) as ours, MilvusStore(mirror.url, mirror.settings) as mirrored:
            for task in data.tasks:
                lines.append(line_of(index.type + default, task, await searching((ours, mirrored), task)))
                print(" | ".join(lines[-1]), file=sys.stderr, flush=True)
    return lines


async def load(server: URL, data: Data) -> tuple[URL, str]:
    """Load a new database, and build the index that `auto` decides on; return it with what that is."""
    url = await new_database(server, "mirrored")
    await fill(url, data.vectors, data.tenants, texts_of(len(data.vectors)))
    engine = create_engine(url)
    try:
        run = await build_indexes(engine, IndexSelection((IndexedTable.MEMORY_NODES,)))
    finally:
        await engine.dispose()
    return url, str(run.results[0].index or "none, but a comparison of all of a tenant")


async def measure(url: URL, uri: str, label: str, data: Data, options: argparse.Namespace) -> None:
    """Measure one engine, and print it."""
    async with mirror_of(url, uri, options.dim) as (mirror, built):
        said = mirror.milvus.capabilities.said
        if options.rounds:
            lines = await following(mirror, data, options.rounds)
            print(f"{label} ({said}): writing, the median of {options.rounds} rounds.\n")
            print(table(["way", "rows/s", "of the limit", "in each round", "wanted"], lines), "\n")
            print(f"`move`, which compares everything too, before that: {options.rows / built.seconds:,.0f} rows/s.\n")
        await mirror.drop_bare()
        lines = await with_each_index(mirror, data, options.indexes.split(","))
        print(f"{label} ({said}): searching. recall@10 wanted: {LEAST_RECALL} at 1% with the default index.\n")
        print(table(HEADS_OF_SEARCH, lines), "\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--rounds", type=int, default=3, help="of writing; 0 for none")
    parser.add_argument("--questions", type=int, default=100, help="of each kind of tenant")
    parser.add_argument("--engines", default=",".join(LABELS))
    parser.add_argument("--indexes", default="flat,hnsw,ivf_flat")
    parser.add_argument("--shared-buffers", default="1GB", help="enough to hold it all")
    options = parser.parse_args()
    data = data_of(options.rows, options.dim, options.questions)
    with big_server(options.shared_buffers) as (server, folder):
        url, index = asyncio.run(load(server, data))
        print(
            f"{options.rows:,} memories of {options.dim:,} dimensions, {options.questions} questions of each kind of "
            f"tenant, pymilvus {version('pymilvus')}. Index in PostgreSQL: {index}."
        )
        print(asyncio.run(describe(server)), f"Load: {os.getloadavg()[1]:.0f}.", "\n", flush=True)
        for engine in options.engines.split(","):
            if (reason := missing(engine)) is not None:
                print(f"{LABELS[engine]} is left out: {reason}\n")
                continue
            with running(engine, folder) as uri:
                asyncio.run(measure(url, uri, LABELS[engine], data, options))


if __name__ == "__main__":
    main()
