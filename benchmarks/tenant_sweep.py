"""Recall and speed of a search in one tenant, whatever the tenant's share of the rows is, and whoever searches.

100,000 memories of 1,024 dimensions (benchmarks/vectors.py), tenants spread at random over them but for the last
layout. Each question is a memory of anybody, moved a little; wanted are the ten nearest memories of the tenant, which
numpy knows exactly. Layouts of tenants:

* shares: eight tenants of 0.01 % to 30 % and one of the rest, and in another run one that has all;
* equal: 10, 100, 1,000 and 10,000 tenants of the same size;
* subjects: ten tenants, each with what is nearest to some row, so that whoever is asked about another subject has
  nothing near the question.

In turns with ours, twenty questions at a time, run searches through HNSW without any tenant, on the same index: it is
the time that a search takes which need not filter. Once with the `ef_search` that it takes to find what is wanted here,
0.98 of the nearest (100; what it finds is printed), once with pgvector's default of 40. The server holds all in memory.
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

from benchmarks.drawing import Line, draw_sweep
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
from benchmarks.tenant_layouts import EQUAL, LIMIT, Task, layouts, recall_of, task_of
from benchmarks.vectors import clustered, questions
from memstore.store import PostgresStore
from tests.support import raw_dsn

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

BLOCK = 20
PLANNED = 10  # so many questions of a point are explained, too
WARM_UP = 10
SEARCH = "SELECT id FROM memstore.hybrid_search($1, query_embedding => $2, match_count => $3)"
EXPLAIN = "SELECT memstore.explain_search($1, query_embedding => $2, match_count => $3)"


@dataclass
class Walked:
    """Searches through HNSW without a tenant: their seconds, and what was found."""

    seconds: list[float] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)


@dataclass
class Outcome:
    """What came of searching at a point: one entry a question in each list."""

    found: list[list[int]] = field(default_factory=list)
    sql: list[float] = field(default_factory=list)
    store: list[float] = field(default_factory=list)
    hnsw: Walked = field(default_factory=Walked)
    hnsw_40: Walked = field(default_factory=Walked)
    planning_ms: list[float] = field(default_factory=list)
    plans: set[str] = field(default_factory=set)


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
        for start in range(0, len(task.asked), BLOCK):
            block = task.asked[start : start + BLOCK]
            tenants = [tenant_id(asker) for asker in task.tenants[start : start + BLOCK].tolist()]
            for ef, walked in ((ef_search, outcome.hnsw), (40, outcome.hnsw_40)):
                await walker.execute(f"SET hnsw.ef_search = {ef}")
                for vector in block:
                    started = perf_counter()
                    rows = await walk.fetch(vector)
                    walked.seconds.append(perf_counter() - started)
                    walked.found.append([memory_place(row["id"]) for row in rows])
            for vector, tenant in zip(block, tenants, strict=True):
                started = perf_counter()
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL memstore.tenant_id = '{tenant}'")
                    rows = await search.fetch(tenant, vector, LIMIT)
                outcome.sql.append(perf_counter() - started)
                outcome.found.append([memory_place(row["id"]) for row in rows])
            for vector, tenant in zip(block, tenants, strict=True):
                scope = store.scope(tenant)
                started = perf_counter()
                await scope.search(vector=vector, limit=LIMIT)
                outcome.store.append(perf_counter() - started)
        for vector, asker in zip(task.asked[:PLANNED], task.tenants[:PLANNED].tolist(), strict=True):
            told = json.loads(await connection.fetchval(EXPLAIN, tenant_id(asker), vector, LIMIT))
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
            f"{ms(ours.hnsw.seconds):.2f}",
            f"{ms(ours.hnsw_40.seconds):.2f}",
            f"{ms(ours.sql) / ms(ours.hnsw.seconds):.1f}",
            f"{ms(ours.sql) / ms(ours.hnsw_40.seconds):.1f}",
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
HEADS_OF_OURS = ("store p50 ms", "planning ms", "HNSW p50 ms", "HNSW 40", "times HNSW", "times HNSW 40", "plan")


async def sweep(server: URL, folder: Path, options: argparse.Namespace) -> list[Row]:
    """Measure ours, then the peers."""
    vectors = clustered(options.rows, options.dim)
    asked = questions(vectors, options.questions)
    chosen = layouts(vectors, options.layouts.split(","))
    data = Data(vectors, texts_of(options.rows), {name: of for name, (of, _) in chosen.items()})
    tasks = {name: [task_of(point, vectors, of, asked) for point in points] for name, (of, points) in chosen.items()}
    rows = []
    for name, of_layout in tasks.items():
        url = await new_database(server, f"ours_{name}")
        await fill(url, vectors, data.tenants[name], data.texts)
        index, _ = await build(url)
        for task in of_layout:
            await measure(url, task.first(WARM_UP), index, options.ef_search)
            outcome = await measure(url, task, index, options.ef_search)
            returned, recall = task.returned(outcome.found), task.recall(outcome.found)
            rows.append(Row("memstore", task, returned, recall, outcome.sql, outcome))
            print(" | ".join(rows[-1].cells()), file=sys.stderr, flush=True)
        await drop_database(server, url)
    for peer in filter(None, options.peers.split(",")):
        rows += await measure_peer(server, folder, PEERS[peer], tasks, data)
    return rows


def lines_of(rows: list[Row]) -> list[Line]:
    """Return what is drawn: by share alone, for the equal tenants have no place between."""
    total = max(row.task.rows for row in rows)
    lines = []
    for who in dict.fromkeys(row.who for row in rows):
        mine = [row for row in rows if row.who == who and row.task.point.layout in ("shares", "all")]
        mine.sort(key=lambda row: row.task.rows)
        shares = [row.task.rows / total for row in mine]
        width = ("linewidth", 2.5 if who == "memstore" else 1.2)
        lines.append(Line(who, shares, [ms(row.seconds) for row in mine], [row.recall for row in mine], (width,)))
        if who == "memstore":
            hnsw = [ms(row.outcome.hnsw.seconds) for row in mine if row.outcome]
            grey = (("color", "grey"), ("linestyle", ":"), ("marker", ""))
            lines.append(Line("HNSW without a tenant", shares, hnsw, looks=grey))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--questions", type=int, default=200, help="at each point")
    parser.add_argument("--ef-search", type=int, default=100, help="of the search without a tenant")
    parser.add_argument("--layouts", default=",".join(("shares", "all", *map(str, EQUAL), "subjects")))
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
    worst, slowest = min(row.recall for row in ours), max(float(row.cells()[-3]) for row in ours)
    print(f"\nrecall@10 at least {worst:.3f} (wanted: 0.98), never short: {min(row.returned for row in ours) >= 1}, ")
    print(f"p50 at most {slowest:.1f} times that of HNSW without a tenant (wanted: 4)")
    for ef, name in ((options.ef_search, "hnsw"), (40, "hnsw_40")):
        found = [recall_of(row.task.unfiltered, getattr(row.outcome, name).found) for row in ours]
        print(f"HNSW without a tenant, ef_search {ef}: recall@10 {min(found):.3f} to {max(found):.3f}")
    if options.plot:
        draw_sweep(lines_of(rows), options.plot, f"One tenant among others, {options.rows:,} memories")


if __name__ == "__main__":
    main()
