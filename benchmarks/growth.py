"""How search and loading change as the table grows: 10,000, 100,000 and 500,000 memories of 1,024 dimensions.

One tenant has half of the memories, 50 have a hundredth each. Both search by vector, by vector with a filter that one
in ten passes, and by vector and words, one of which is in every second memory. Recall is against numpy, of the hybrid
search against the same search with the plan `exact`. Memories are loaded through the store, the index is built after.

Run: make bench, or python -m benchmarks.growth [--sizes 10000,100000,500000] [--plot docs/growth.svg]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.drawing import Line, draw_growth
from benchmarks.search import LIMIT, WARM_UP, WAYS
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
from benchmarks.tenant_layouts import recall_of
from benchmarks.vectors import clustered, nearest, questions
from memstore.migrations import upgrade
from memstore.store import PostgresStore, SearchPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

    from memstore.store import MemoryScope

SMALL = 50
ASKED_EXACTLY = 20  # by a hybrid search of which all is compared, which takes long
ASKERS = {"half of the rows": 0, "a hundredth": 1}


@dataclass(frozen=True)
class Measured:
    """One kind of search by one tenant in a table of one size."""

    rows: int
    asker: str
    way: str
    seconds: list[float]
    recall: float

    def cells(self) -> list[str]:
        """Return the line."""
        times = f"{ms(self.seconds):.2f}", f"{ms(self.seconds, 95):.2f}"
        return [f"{self.rows:,}", self.asker, self.way, f"{self.recall:.3f}", *times]


@dataclass(frozen=True)
class Loaded:
    """What it took to load a table, and to build its index."""

    rows: int
    seconds: float
    index: str
    index_seconds: float
    index_bytes: int

    def cells(self) -> list[str]:
        """Return the line."""
        rate = f"{self.rows / self.seconds:,.0f}"
        return [f"{self.rows:,}", rate, self.index, f"{self.index_seconds:.0f}", f"{self.index_bytes / 2**20:,.0f}"]


async def grow(server: URL, size: int, options: argparse.Namespace) -> tuple[Loaded, list[Measured]]:
    """Load a table of one size, and search in it."""
    vectors = clustered(size, options.dim)
    asked = questions(vectors, options.questions)
    chance = np.random.default_rng(7)
    tenants = np.where(chance.random(size) < 0.5, 0, 1 + chance.integers(0, SMALL, size))
    url = await new_database(server, f"growth_{size}")
    await upgrade(url, embedding_dim=options.dim)
    await make_tenants(url, range(SMALL + 1))
    async with PostgresStore(url, pool_size=2) as store:
        seconds = await load(store, memories_of(vectors, tenants, texts_of(size)))
        index, index_seconds = await build(url)
        async with bare(url) as connection:
            index_bytes = await connection.fetchval("SELECT pg_relation_size($1::regclass)", f"memstore.{index}")
        loaded = Loaded(size, seconds, index, index_seconds, index_bytes)
        print(" | ".join(loaded.cells()), file=sys.stderr, flush=True)
        measured = []
        for asker, number in ASKERS.items():
            for way in WAYS:
                scope = store.scope(tenant_id(number))
                mine = np.flatnonzero(tenants == number)
                if way == "filtered":
                    mine = mine[mine % 10 == 3]
                found, times = await search(scope, asked, WAYS[way])
                if way == "hybrid":
                    recall = await hybrid_recall(scope, asked[:ASKED_EXACTLY], found, WAYS[way])
                else:
                    truth = mine[nearest(vectors[mine], asked, LIMIT)]
                    recall = recall_of(truth.tolist(), found)
                measured.append(Measured(size, asker, way, times, recall))
                print(" | ".join(measured[-1].cells()), file=sys.stderr, flush=True)
    await drop_database(server, url)
    return loaded, measured


async def search(scope: MemoryScope, asked: NDArray[Any], given: dict[str, Any]) -> tuple[list[list[int]], list[float]]:
    """Search for each, after a few to warm up; return places, and seconds."""
    found, seconds = [], []
    for vector in (*asked[:WARM_UP], *asked):
        started = perf_counter()
        result = await scope.search(vector=vector, limit=LIMIT, **given)
        seconds.append(perf_counter() - started)
        found.append([memory_place(hit.memory.id) for hit in result])
    warm = min(WARM_UP, len(asked))
    return found[warm:], seconds[warm:]


async def hybrid_recall(
    scope: MemoryScope, asked: NDArray[Any], found: list[list[int]], given: dict[str, Any]
) -> float:
    """Return which share of what an exact search finds was found."""
    exactly = []
    for vector in asked:
        result = await scope.search(vector=vector, limit=LIMIT, plan=SearchPlan.EXACT, **given)
        exactly.append([memory_place(hit.memory.id) for hit in result])
    return recall_of(exactly, found[: len(asked)])


def lines_of(measured: list[Measured]) -> list[Line]:
    """Return what is drawn: a colour for each kind of search, whole for the large tenant and dashed for a small one."""
    lines = []
    for asker, dashes in zip(ASKERS, ("-", "--"), strict=True):
        for way, colour in zip(WAYS, ("C0", "C1", "C2"), strict=True):
            mine = [each for each in measured if (each.asker, each.way) == (asker, way)]
            mine.sort(key=lambda each: each.rows)
            sizes, times = [each.rows for each in mine], [ms(each.seconds) for each in mine]
            looks = (("linestyle", dashes), ("color", colour))
            lines.append(Line(f"{way}, {asker}", sizes, times, [each.recall for each in mine], looks))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default="10000,100000,500000")
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--shared-buffers", default="8GB", help="enough to hold it all")
    parser.add_argument("--plot", type=Path, help="an SVG to draw, such as docs/growth.svg")
    options = parser.parse_args()
    loads, measured = [], []
    with big_server(options.shared_buffers) as (server, _):
        for size in map(int, options.sizes.split(",")):
            loaded, of_size = asyncio.run(grow(server, size, options))
            loads.append(loaded)
            measured += of_size
        print(asyncio.run(describe(server)), "\n")
    print(table(["rows", "loaded, rows/s", "index", "built in s", "MiB"], [each.cells() for each in loads]), "\n")
    print(table(["rows", "tenant", "search", "recall@10", "p50 ms", "p95 ms"], [each.cells() for each in measured]))
    if options.plot:
        draw_growth(lines_of(measured), options.plot)


if __name__ == "__main__":
    main()
