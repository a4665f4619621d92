"""Vectors that are clustered like real embeddings, so that an index finds them as easy or as hard.

Vectors drawn at random are all equally far from one another, which no text embedding is, and no index works on them.
What embedding models make has these traits, and so do these:

* a decaying spectrum: few directions hold most of the variance. Axis i has standard deviation (i + 1) ** -0.5, and a
  random rotation spreads that over all dimensions, so that no dimension is special (it matters to one bit a dimension);
* subjects of Zipf sizes: a few are talked about much, most of them rarely;
* conversations about a subject, ten memories each: 0.8 times as far apart as subjects are;
* noise: the memories of a conversation are 0.9 times as far apart.

Run as a script it prints how similar the nearest neighbours are, beside those of real conversations (locomo, embedded
by all-MiniLM-L6-v2): the distribution that recall depends on. 0.8, 0.9 and ten are what comes closest to it. With more
rows than locomo has, the nearest are nearer, as in longer conversations.

Run: python -m benchmarks.vectors [--rows 1757] [--dim 1024]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support import LOCOMO

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECAY, CONVERSATION, NOISE = 0.5, 0.8, 0.9
ROWS_A_SUBJECT, ROWS_A_CONVERSATION = 200, 10
PERCENTILES = (5, 25, 50, 75, 95)


def clustered(rows: int, dim: int, *, seed: int = 1, noise: float = NOISE) -> NDArray[np.float32]:
    """Return `rows` vectors of length 1 and shape (rows, dim), the same for the same arguments."""
    chance = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -DECAY).astype(np.float32)

    def spread(count: int) -> NDArray[np.float32]:
        drawn: NDArray[np.float32] = chance.standard_normal((count, dim), dtype=np.float32) * spectrum
        return drawn

    subjects = spread(max(8, rows // ROWS_A_SUBJECT))
    talks = subjects[chance.zipf(1.3, max(1, rows // ROWS_A_CONVERSATION)) % len(subjects)]
    talks += CONVERSATION * spread(len(talks))
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).standard_normal((dim, dim)).astype(np.float32))
    vectors = np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, 10_000):
        part = vectors[start : start + 10_000]
        part[:] = normalised((talks[chance.integers(0, len(talks), len(part))] + noise * spread(len(part))) @ rotation)
    return vectors


def questions(vectors: NDArray[np.float32], count: int, *, seed: int = 2, noise: float = 0.3) -> NDArray[np.float32]:
    """Return `count` questions of length 1: each a row that is there, moved by `noise` of its length."""
    chance = np.random.default_rng(seed)
    about = vectors[chance.choice(len(vectors), count, replace=count > len(vectors))]
    moved = chance.standard_normal(about.shape, dtype=np.float32)
    return normalised(about + noise * normalised(moved))


def normalised(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return the vectors with a length of 1."""
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def nearest(vectors: NDArray[np.float32], asked: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the rows most similar to each of `asked`, best first: shape (len(asked), at most count)."""
    count = min(count, len(vectors))
    found = np.empty((len(asked), count), dtype=np.int64)
    for start in range(0, len(asked), 64):
        scores = asked[start : start + 64] @ vectors.T
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        found[start : start + 64] = np.take_along_axis(best, order, axis=1)
    return found


def neighbour_similarities(vectors: NDArray[np.float32], sample: int = 500, seed: int = 3) -> dict[int, NDArray[Any]]:
    """Return, for a sample of the rows, how similar their 1st, 10th and 100th nearest neighbour is."""
    rows = np.random.default_rng(seed).choice(len(vectors), min(sample, len(vectors)), replace=False)
    ranked = np.sort(vectors[rows] @ vectors.T, axis=1)[:, ::-1]
    return {place: ranked[:, place] for place in (1, 10, 100)}  # place 0 is the row itself


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_757, help="as many as locomo has, by default")
    parser.add_argument("--dim", type=int, default=1_024)
    options = parser.parse_args()
    made = {f"clustered, {options.dim} dimensions": clustered(options.rows, options.dim)}
    path = LOCOMO / "vectors" / "nodes.npy"
    if path.is_file():
        made = {"locomo, 384 dimensions": normalised(np.load(path))} | made
    print(f"| vectors | neighbour | {' | '.join(f'{each} %' for each in PERCENTILES)} |")
    print("|---|---|" + "---|" * len(PERCENTILES))
    for name, vectors in made.items():
        for place, similarities in neighbour_similarities(vectors).items():
            shown = " | ".join(f"{np.percentile(similarities, each):.2f}" for each in PERCENTILES)
            print(f"| {name} | {place} | {shown} |")


if __name__ == "__main__":
    main()
