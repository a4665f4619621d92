"""How much memory the build of an index takes. The numbers are pgvector's, and were compared with what it says."""

from __future__ import annotations

import re

MB = 2**20
_UNITS = {"kB": 2**10, "MB": MB, "GB": 2**30, "TB": 2**40}
_SAMPLES = 10_000  # pgvector samples at least so many rows, and 50 for each list
_SAMPLES_PER_LIST = 50
_HEADERS = 4_096
_PAGE = 8_192 - 24 - 8  # of a page, what rows can use: header and pgvector's own trailer
_ROWS_PER_LIST = 1_000
_MANY_ROWS = 1_000_000


def value_bytes(dimensions: int, *, halfvec: bool) -> int:
    """Return how large one vector is, in bytes."""
    return 8 + dimensions * (2 if halfvec else 4)


def graph_bytes(rows: int, dimensions: int, *, halfvec: bool, m: int) -> int:
    """Return the memory that the graph of an HNSW index takes while it is built, in bytes.

    For each row the vector, what a node of the graph is, and 2 m neighbours; one row in m is on a second level, with m
    more of them.
    """
    return round(rows * (_aligned(value_bytes(dimensions, halfvec=halfvec)) + 176 + 16 * 2 * m + (32 + 16 * m) / m))


def clustering_bytes(lists: int, rows: int, dimensions: int, *, halfvec: bool) -> int:
    """Return the memory that pgvector demands to make so many lists of so many rows for an IVFFlat index, in bytes."""
    samples = max(_SAMPLES, _SAMPLES_PER_LIST * lists)
    sampled = min(samples, rows)
    item = _aligned(value_bytes(dimensions, halfvec=halfvec))
    vectors = (samples + 2 * lists) * item + lists * dimensions * 4
    return _HEADERS + vectors + 4 * (sampled * lists + 2 * sampled + lists * lists + 3 * lists)


def lists_for(rows: int) -> int:
    """Return how many lists suit so many rows: one in a thousand, and past a million the square root."""
    return max(1, rows // _ROWS_PER_LIST if rows <= _MANY_ROWS else round(rows**0.5))


def lists_within(rows: int, dimensions: int, memory: int, *, halfvec: bool) -> int | None:
    """Return how many lists suit so many rows and can be made in so many bytes; None where not even one can."""
    most, least = lists_for(rows), 0
    if clustering_bytes(most, rows, dimensions, halfvec=halfvec) <= memory:
        return most
    while most - least > 1:  # `least` fits, `most` does not
        middle = (least + most) // 2
        if clustering_bytes(middle, rows, dimensions, halfvec=halfvec) <= memory:
            least = middle
        else:
            most = middle
    return least or None


def parse_memory(text: str) -> int:
    """Return how many bytes an amount as PostgreSQL writes it is, such as 64MB."""
    found = re.fullmatch(r"(\d+) ?(kB|MB|GB|TB)", text)
    if found is None:
        raise ValueError(f"{text!r} is no amount of memory. Needed: a number and kB, MB, GB or TB, such as 2GB")
    return int(found[1]) * _UNITS[found[2]]


def shown(size: int) -> str:
    """Return an amount of memory in words."""
    for unit, bytes_ in (("GB", 2**30), ("MB", MB)):
        if size >= bytes_:
            return f"{size / bytes_:,.1f} {unit}".replace(".0 ", " ")
    return f"{size / 2**10:,.0f} kB"


def _aligned(size: int) -> int:
    return (size + 7) // 8 * 8
