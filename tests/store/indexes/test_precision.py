from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memstore.store.indexes.precision import half_agreement
from tests.store.indexes.vectors import vectors


def test_directions_that_differ_survive_rounding() -> None:
    agreement = half_agreement(vectors(2_000, 64))
    assert agreement is not None
    assert agreement > 0.995


def test_directions_that_differ_by_less_than_half_precision_knows_do_not() -> None:
    close = np.ones((500, 64), np.float32) + 1e-3 * vectors(500, 64)
    agreement = half_agreement(close)
    assert agreement is not None
    assert agreement < 0.9


def test_it_is_what_comparing_one_by_one_finds() -> None:
    sample = np.ones((150, 64), np.float32) + 1e-3 * vectors(150, 64)
    found = 0
    for query in range(150):
        others = [n for n in range(150) if n != query]
        exact = {n: cosine(sample[query], sample[n]) for n in others}
        half = {n: cosine(sample[query].astype(np.float16), sample[n].astype(np.float16)) for n in others}
        tenth = sorted(exact.values())[-10]
        found += sum(exact[n] >= tenth for n in sorted(others, key=half.__getitem__)[-10:])
    assert half_agreement(sample) == pytest.approx(
        found / 1_500, abs=0.005
    )  # two that half precision takes for the same


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_ties_do_not_count() -> None:
    """Of 500 that are each there ten times over, rounding may prefer other copies."""
    assert half_agreement(np.repeat(vectors(50, 32), 50, axis=0)) == 1.0


@pytest.mark.parametrize("scale", [1e5, 1e-9])
def test_numbers_that_half_precision_does_not_hold(scale: float) -> None:
    assert half_agreement(vectors(100, 8) * np.float32(scale)) == 0.0


def test_too_few_to_tell() -> None:
    assert half_agreement(vectors(19, 8)) is None
    assert half_agreement(np.empty((0, 8), np.float32)) is None
    assert half_agreement(vectors(20, 8)) is not None


def test_the_length_of_a_vector_does_not_matter() -> None:
    sample = vectors(300, 16)
    lengths = np.random.default_rng(3).uniform(0.01, 100, (300, 1)).astype(np.float32)
    found = half_agreement(sample * lengths)
    assert found is not None
    assert found > 0.99
