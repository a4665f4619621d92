"""How carefully the graph of an HNSW index is built, by how many rows it is of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Graph:
    """What a graph is built with, pgvector's own numbers where nothing else is said.

    m: neighbours of a row on each level; on the lowest, where all rows are, twice as many.
    ef_construction: among how many of the nearest rows they are looked for.
    """

    m: int = 16
    ef_construction: int = 64

    def __str__(self) -> str:
        return f"m {self.m}, ef_construction {self.ef_construction}"

    def with_care_of(self, other: Graph) -> Graph:
        """Return one that is built with no less care than either."""
        return Graph(max(self.m, other.m), max(self.ef_construction, other.ef_construction))


PLAIN = Graph()
# Among 500,000 rows a graph of pgvector's numbers finds 0.92 of what is nearest, this one 0.97: docs/benchmarks.md.
CAREFUL_FROM = 150_000
CAREFUL = Graph(24, 128)


def graph_for(rows: int) -> Graph:
    """Return how carefully the graph of so many rows should be built."""
    return CAREFUL if rows >= CAREFUL_FROM else PLAIN


def less_careful(graph: Graph, rows: int) -> str | None:
    """Say that a graph was built with less care than so many rows call for, None where it was not."""
    wanted = graph_for(rows)
    if graph.with_care_of(wanted) == graph:
        return None
    return f"its graph was built with {graph}; {wanted} suit {rows:,} rows"
