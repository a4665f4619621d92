"""What half precision costs: measured on a sample of a table's own vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLED_ROWS = 4_000
SAMPLED_QUERIES = 200
NEAREST = 10
_TIE = 1e-12  # what is nearer than this is a copy


def half_agreement(vectors: NDArray[np.float32]) -> float | None:
    """Return which share of the ten nearest vectors is found with half precision too, 0 to 1.

    `vectors` is a sample, shape (N, D); some of it are the queries, all of it is searched. A vector as near as the
    tenth counts, whichever of several it is. None where there are too few to tell; 0 where a number is outside of what
    half precision holds.
    """
    if len(vectors) < 2 * NEAREST:
        return None
    with np.errstate(over="ignore"):
        half = vectors.astype(np.float16).astype(np.float32)
    if not np.isfinite(half).all() or not half.any(axis=1).all():
        return 0.0
    queries = np.linspace(0, len(vectors) - 1, min(SAMPLED_QUERIES, len(vectors)), dtype=int)
    exact, rounded = _cosines(vectors, queries), _cosines(half, queries)
    for cosines in (exact, rounded):
        cosines[np.arange(len(queries)), queries] = -2  # that a vector is nearest to itself says nothing
    tenth = np.partition(exact, -NEAREST, axis=1)[:, -NEAREST]
    found = np.argpartition(rounded, -NEAREST, axis=1)[:, -NEAREST:]
    near = np.take_along_axis(exact, found, axis=1) >= tenth[:, None] - _TIE
    return float(near.mean())


def _cosines(vectors: NDArray[np.float32], queries: NDArray[np.intp]) -> NDArray[np.float64]:
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines: NDArray[np.float64] = unit[queries] @ unit.T
    return cosines
