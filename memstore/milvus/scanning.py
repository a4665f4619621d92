"""Reading all entities of a collection, in a way that leaves none out.

pymilvus' iterator does on a server: of 35 entities in two shards, by a partition key, Milvus 2.3.5 gave it five (see
tests/milvus/test_scan.py). Queries for ranges of ids are whole, in whatever order their rows come.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from .expressions import literal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from pymilvus import MilvusClient

    from .client import Milvus
    from .entities import Entity

STRONG = "Strong"
_SPARE = 2
"""Ids are spread evenly, being hashes: a range holds what is expected, and hardly ever twice as much."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Ids from `low` on, and before `high`; None: from the first one on, or to the last."""

    low: str | None
    high: str | None

    def __str__(self) -> str:
        # Every id is more than an empty one, which no entity has.
        parts = [f"id >= {literal(self.low)}" if self.low is not None else 'id > ""']
        if self.high is not None:
            parts.append(f"id < {literal(self.high)}")
        return " and ".join(parts)

    def split(self, ids: list[str]) -> tuple[_Range, _Range]:
        """Return two ranges, parted in the middle of some ids in it."""
        middle = sorted(ids)[len(ids) // 2]
        return _Range(self.low, middle), _Range(middle, self.high)


async def scan_ranges(
    milvus: Milvus, name: str, fields: Sequence[str], conditions: str, count: int, batch: int
) -> AsyncGenerator[list[Entity], None]:
    """Read entities of a server, `batch` of them at once or so; `count` is about how many there are."""
    limit = _SPARE * batch
    ahead = _ranges(max(1, -(-count // batch)))

    def ask(client: MilvusClient, which: _Range) -> list[Entity]:
        filter_ = f"{which} and ({conditions})" if conditions else str(which)
        found = client.query(
            name,
            filter=filter_,
            output_fields=list(fields),
            limit=limit,
            consistency_level=STRONG,
            timeout=milvus.timeout,
        )
        return [dict(each) for each in found]

    while ahead:
        which = ahead.pop()
        rows = await milvus.read(lambda c, which=which: ask(c, which))  # type: ignore[misc]
        if len(rows) == limit:
            ahead += reversed(which.split([row["id"] for row in rows]))
        elif rows:
            yield rows


async def scan_pages(
    milvus: Milvus, name: str, fields: Sequence[str], conditions: str, batch: int
) -> AsyncGenerator[list[Entity], None]:
    """Read entities of Milvus Lite, whose iterator is whole: a range would read every row there for each query."""
    iterator = await milvus.read(
        lambda c: c.query_iterator(
            name,
            batch_size=batch,
            filter=conditions,
            output_fields=list(fields),
            consistency_level=STRONG,
            timeout=milvus.timeout,
        )
    )
    try:
        while page := await milvus.read(lambda _: list(iterator.next())):
            yield page
    finally:
        await asyncio.to_thread(iterator.close)


def _ranges(count: int) -> list[_Range]:
    """Return so many ranges that hold the same share of hexadecimal ids each, the first one last."""
    bounds = [f"{part * 2**32 // count:08x}" for part in range(1, count)]
    edges: list[str | None] = [None, *bounds, None]
    return [_Range(low, high) for low, high in pairwise(edges)][::-1]
