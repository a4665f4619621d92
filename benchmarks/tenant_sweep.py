"""Recall and speed of a search in one tenant, whatever the tenant's share of the rows is, and whoever searches.

100,000 memories of 1,024 dimensions (benchmarks/vectors.py), tenants spread at random over them, which is the worst
case for an index. Each question is a memory of anybody, moved a little; wanted are the ten nearest memories of the
tenant, which numpy knows exactly. Layouts of tenants:

* shares: eight tenants of 0.01 % to 30 % and one of the rest, and in another run one that has all;
* equal: 10, 100, 1,000 and 10,000 tenants of the same size.

Beside each search runs one through HNSW without any tenant, on the same index, with the `ef_search` that ours uses and
with pgvector's default of 40: it is the time that a search takes which need not filter. The server holds all in memory.
p50 and p95 are of `memstore.hybrid_search` through bare asyncpg, in a transaction that sets the tenant; `store` is
`scope.search`.

Peers search the same rows with the same questions by their own clients. Their tables are filled by COPY and their
vector index, HNSW as they make it, is built after: the same search, without waiting for their way of loading.

Run: make bench, or python -m benchmarks.tenant_sweep [--rows 100000] [--peers mem0,langchain,langgraph] [--plot FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.peer import PEERS, Driver, Peer
from benchmarks.server import (
    bare,
    big_server,
    build,
    describe,
    drop_database,
    fill,
    memory_place,
    ms,
    new_database,
    table,
    tenant_id,
    texts_of,
)
from benchmarks.vectors import clustered, nearest, questions
from memstore.store import PostgresStore
from tests.support import raw_dsn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

LIMIT = 10
PLANNED = 10  # so many questions of a point are explained, too
WARM_UP = 10
SHARES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
EQUAL = (10, 100, 1_000, 10_000)
SEARCH = "SELECT id FROM memstore.hybrid_search($1, query_embedding => $2, match_count => $3)"
EXPLAIN = "SELECT memstore.explain_search($1, query_embedding => $2, match_count => $3)"


@dataclass(frozen=True)
class Point:
    """Tenants of one size in one layout, any of which may be asked."""

    layout: str
    name: str
    tenants: tuple[int, ...]


@dataclass
class Outcome:
    """What came of searching at a point: one entry a question in each list."""

    found: list[list[int]] = field(default_factory=list)
    sql: list[float] = field(default_factory=list)
    store: list[float] = field(default_factory=list)
    hnsw: list[float] = field(default_factory=list)
    hnsw_40: list[float] = field(default_factory=list)
    planning_ms: list[float] = field(default_factory=list)
    plans: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Task:
    """The questions of a point: what is asked, by which tenant, and the places of what is nearest."""

    point: Point
    asked: NDArray[Any]
    tenants: NDArray[Any]
    truth: list[list[int]]
    rows: float

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Return which share of the nearest was found."""
        return float(np.mean([len(set(is_) & set(was)) / len(is_) for is_, was in zip(self.truth, found, strict=True)]))

    def returned(self, found: Sequence[Sequence[int]]) -> float:
        """Return which share of the rows wanted came back, right or wrong."""
        return float(np.mean([len(was) / len(is_) for is_, was in zip(self.truth, found, strict=True)]))


def layouts(rows: int, names: Sequence[str]) -> dict[str, tuple[NDArray[Any], list[Point]]]:
    """Return by their names which tenant each row is of, and the points to ask about."""
    chance = np.random.default_rng(7)
    found: dict[str, tuple[NDArray[Any], list[Point]]] = {}
    shares = (*SHARES, 1 - sum(SHARES))
    counts = [max(1, round(rows * share)) for share in shares[:-1]]
    of = np.repeat(np.arange(len(shares)), [*counts, rows - sum(counts)])
    names_of = [f"{share:.2%}".replace(".00%", "%") for share in shares]
    points = [Point("shares", name, (number,)) for number, name in enumerate(names_of)]
    found["shares"] = chance.permutation(of), points
    found["all"] = np.zeros(rows, dtype=int), [Point("all", "100%", (0,))]
    for count in EQUAL:
        if count <= rows:
            point = Point(str(count), f"{count:,} tenants", tuple(range(count)))
            found[str(count)] = chance.permutation(np.arange(rows) % count), [point]
    return {name: layout for name, layout in found.items() if name in names}


def task_of(point: Point, vectors: NDArray[Any], tenants: NDArray[Any], asked: NDArray[Any]) -> Task:
    """Return the questions of a point, with what is right."""
    askers = np.random.default_rng(11).choice(point.tenants, len(asked))
    truth: list[list[int]] = []
    sizes = []
    for question, asker in zip(asked, askers, strict=True):
        mine = np.flatnonzero(tenants == asker)
        sizes.append(len(mine))
        truth.append(mine[nearest(vectors[mine], question[None], LIMIT)[0]].tolist())
    return Task(point, asked, askers, truth, float(np.mean(sizes)))


async def measure(url: URL, task: Task, index: str, ef_search: int) -> Outcome:
    """Search for each question, in turns with the index without a tenant."""
    outcome = Outcome()
    dim = task.asked.shape[1]
    cast = f"halfvec({dim})" if "halfvec" in index else f"vector({dim})"
    column = f"embedding::{cast}" if "halfvec" in index else "embedding"
    unfiltered = f"SELECT id FROM memstore.memory_nodes ORDER BY {column} <=> $1::vector::{cast} LIMIT {LIMIT}"
    async with bare(url) as connection, bare(url) as walker, PostgresStore(url, pool_size=2) as store:
        await walker.execute("SET enable_seqscan = off")  # else few rows are not worth an index
        plan = await walker.fetch("EXPLAIN " + unfiltered.replace("$1", f"'{task.asked[0].tolist()}'"))
        assert index in str(plan), f"the search without a tenant does not use {index}: {plan}"
        search, walk = await connection.prepare(SEARCH), await walker.prepare(unfiltered)
        for number, (vector, asker) in enumerate(zip(task.asked, task.tenants.tolist(), strict=True)):
            tenant = tenant_id(asker)
            for ef, into in ((ef_search, outcome.hnsw), (40, outcome.hnsw_40)):
                await walker.execute(f"SET hnsw.ef_search = {ef}")
                started = perf_counter()
                await walk.fetch(vector)
                into.append(perf_counter() - started)
            started = perf_counter()
            async with connection.transaction():
                await connection.execute(f"SET LOCAL memstore.tenant_id = '{tenant}'")
                rows = await search.fetch(tenant, vector, LIMIT)
            outcome.sql.append(perf_counter() - started)
            outcome.found.append([memory_place(row["id"]) for row in rows])
            scope = store.scope(tenant)
            started = perf_counter()
            await scope.search(vector=vector, limit=LIMIT)
            outcome.store.append(perf_counter() - started)
            if number < PLANNED:
                told = json.loads(await connection.fetchval(EXPLAIN, tenant, vector, LIMIT))
                outcome.plans.add(str(told["plan"]))
                outcome.planning_ms.append(planning_ms(told["explain"]))
    return outcome


def planning_ms(explained: Any) -> float:
    """Return the milliseconds of planning that PostgreSQL tells of, in text or in JSON, summed; NaN for none."""
    times = re.findall(r"Planning Time\W+([\d.]+)", json.dumps(explained))
    return sum(map(float, times)) if times else float("nan")


@dataclass(frozen=True)
class Data:
    """What all search in: vectors, texts, and the tenant of each row in each layout."""

    vectors: NDArray[Any]
    texts: list[str]
    tenants: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """A line of the table: who searched at which point, and how it went."""

    who: str
    task: Task
    returned: float
    recall: float
    seconds: list[float]
    outcome: Outcome | None = None

    def cells(self) -> list[str]:
        """Return the line."""
        name, rows = self.task.point.name, f"{self.task.rows:,.0f}"
        cells = [self.who, name, rows, f"{self.returned:.3f}", f"{self.recall:.3f}"]
        cells += [f"{ms(self.seconds):.2f}", f"{ms(self.seconds, 95):.2f}"]
        if self.outcome is None:
            return cells + [""] * len(HEADS_OF_OURS)
        ours = self.outcome
        return [
            *cells,
            f"{ms(ours.store):.2f}",
            f"{np.mean(ours.planning_ms):.2f}",
            f"{ms(ours.hnsw):.2f}",
            f"{ms(ours.hnsw_40):.2f}",
            f"{ms(ours.sql) / ms(ours.hnsw):.1f}",
            ", ".join(sorted(ours.plans)),
        ]


async def measure_peer(server: URL, folder: Path, peer: Peer, tasks: dict[str, list[Task]], data: Data) -> list[Row]:
    """Search for the same in the tables of a peer, layout by layout."""
    rows = []
    with Driver(peer, folder) as driver:
        url = await new_database(server, f"peer_{peer.name}")
        driver.do("open", dsn=raw_dsn(url), dim=data.vectors.shape[1])
        for layout, of_layout in tasks.items():
            tenants = [str(number) for number in data.tenants[layout].tolist()]
            if not await peer.fill(raw_dsn(url), data.vectors, tenants, data.texts):
                driver.do("build")
            for task in of_layout:
                askers = [str(number) for number in task.tenants.tolist()]
                driver.search(task.asked[:WARM_UP], askers[:WARM_UP], LIMIT)
                found, seconds = driver.search(task.asked, askers, LIMIT)
                rows.append(Row(peer.label, task, task.returned(found), task.recall(found), seconds))
                print(f"{peer.label} {task.point.name}: recall {rows[-1].recall:.3f}", file=sys.stderr, flush=True)
    return rows


HEADS = ("who", "tenant", "rows", "returned", "recall@10", "p50 ms", "p95 ms")
HEADS_OF_OURS = ("store p50 ms", "planning ms", "HNSW p50 ms", "HNSW 40 p50 ms", "times HNSW", "plan")


async def sweep(server: URL, folder: Path, options: argparse.Namespace) -> list[Row]:
    """Measure ours, then the peers."""
    vectors = clustered(options.rows, options.dim)
    asked = questions(vectors, options.questions)
    chosen = layouts(options.rows, options.layouts.split(","))
    data = Data(vectors, texts_of(options.rows), {name: of for name, (of, _) in chosen.items()})
    tasks = {name: [task_of(point, vectors, of, asked) for point in points] for name, (of, points) in chosen.items()}
    rows = []
    for name, of_layout in tasks.items():
        url = await new_database(server, f"ours_{name}")
        await fill(url, vectors, data.tenants[name], data.texts)
        index, _ = await build(url)
        for task in of_layout:
            short = Task(task.point, task.asked[:WARM_UP], task.tenants[:WARM_UP], task.truth[:WARM_UP], task.rows)
            await measure(url, short, index, options.ef_search)
            outcome = await measure(url, task, index, options.ef_search)
            returned, recall = task.returned(outcome.found), task.recall(outcome.found)
            rows.append(Row("memstore", task, returned, recall, outcome.sql, outcome))
            print(" | ".join(rows[-1].cells()), file=sys.stderr, flush=True)
        await drop_database(server, url)
    for peer in filter(None, options.peers.split(",")):
        rows += await measure_peer(server, folder, PEERS[peer], tasks, data)
    return rows


def plot(rows: list[Row], path: Path) -> None:
    """Draw recall and time by the share of the tenant."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "memstore"  # else each drawing differs
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 7))
    total = max(row.task.rows for row in rows)
    for who in dict.fromkeys(row.who for row in rows):
        mine = sorted((row for row in rows if row.who == who), key=lambda row: row.task.rows)
        by_share = [row for row in mine if row.task.point.layout in ("shares", "all")]
        style = {"marker": "o", "linewidth": 2.5 if who == "memstore" else 1.2, "label": who}
        shares = [row.task.rows / total for row in by_share]
        above.plot(shares, [row.recall for row in by_share], **style)
        below.plot(shares, [ms(row.seconds) for row in by_share], **style)
        if who == "memstore":
            hnsw = [ms(row.outcome.hnsw) for row in by_share if row.outcome]
            below.plot(shares, hnsw, color="grey", linestyle=":", label="HNSW without a tenant")
    above.set(ylabel="recall@10", ylim=(0, 1.05), title=f"One tenant among others, {total:,.0f} memories")
    below.set(xscale="log", yscale="log", ylabel="p50, ms", xlabel="the tenant's share of the rows")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend()
    below.xaxis.set_major_formatter(lambda share, _: f"{share * 100:g}%")
    for format_ in (below.yaxis.set_major_formatter, below.yaxis.set_minor_formatter):
        format_("{x:g}")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--questions", type=int, default=200, help="at each point")
    parser.add_argument("--ef-search", type=int, default=200, help="of the search without a tenant: as ours uses it")
    parser.add_argument("--layouts", default=",".join(("shares", "all", *map(str, EQUAL))))
    parser.add_argument("--peers", default=",".join(PEERS), help="empty for none")
    parser.add_argument("--shared-buffers", default="4GB", help="enough to hold it all")
    parser.add_argument("--plot", type=Path, help="an SVG to draw, such as docs/tenant_sweep.svg")
    options = parser.parse_args()
    with big_server(options.shared_buffers) as (server, folder):
        rows = asyncio.run(sweep(server, folder, options))
        print(f"\n{options.rows:,} memories of {options.dim:,} dimensions, {options.questions} questions a point.")
        print(asyncio.run(describe(server)), "\n")
    print(table([*HEADS, *HEADS_OF_OURS], [row.cells() for row in rows]))
    ours = [row for row in rows if row.outcome]
    worst, slowest = min(row.recall for row in ours), max(float(row.cells()[-2]) for row in ours)
    print(f"\nrecall@10 at least {worst:.3f} (wanted: 0.98), never short: {min(row.returned for row in ours) >= 1}, ")
    print(f"p50 at most {slowest:.1f} times that of HNSW without a tenant (wanted: 4)")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
