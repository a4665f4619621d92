"""Rows spread over tenants, and questions to one of them with what is right, for the sweep over tenants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.vectors import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMIT = 10
SHARES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
EQUAL = (10, 100, 1_000, 10_000)
SUBJECTS = 10


@dataclass(frozen=True)
class Point:
    """Tenants of one size in one layout, any of which may be asked."""

    layout: str
    name: str
    tenants: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """The questions of a point: what is asked, by which tenant, and the places of what is nearest.

    `unfiltered` are those of the nearest whatever the tenant.
    """

    point: Point
    asked: NDArray[Any]
    tenants: NDArray[Any]
    truth: list[list[int]]
    unfiltered: list[list[int]]
    rows: float

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Return which share of the nearest was found."""
        return recall_of(self.truth, found)

    def first(self, count: int) -> Task:
        """Return the same with so many questions."""
        return Task(
            self.point,
            self.asked[:count],
            self.tenants[:count],
            self.truth[:count],
            self.unfiltered[:count],
            self.rows,
        )

    def returned(self, found: Sequence[Sequence[int]]) -> float:
        """Return which share of the rows wanted came back, right or wrong."""
        return float(np.mean([len(was) / len(is_) for is_, was in zip(self.truth, found, strict=True)]))


def recall_of(truth: Sequence[Sequence[int]], found: Sequence[Sequence[int]]) -> float:
    """Return which share of what is right was found."""
    return float(np.mean([len(set(is_) & set(was)) / len(is_) for is_, was in zip(truth, found, strict=True)]))


def layouts(vectors: NDArray[Any], names: Sequence[str]) -> dict[str, tuple[NDArray[Any], list[Point]]]:
    """Return by their names which tenant each row is of, and the points to ask about."""
    rows = len(vectors)
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
    # Each tenant has what is nearest to one of some rows, and is asked about anything.
    about = vectors[chance.choice(rows, SUBJECTS, replace=False)]
    point = Point("subjects", f"{SUBJECTS} tenants by subject", tuple(range(SUBJECTS)))
    found["subjects"] = np.argmax(vectors @ about.T, axis=1), [point]
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
    return Task(point, asked, askers, truth, nearest(vectors, asked, LIMIT).tolist(), float(np.mean(sizes)))
