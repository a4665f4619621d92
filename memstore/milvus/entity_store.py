"""Entities of a collection: writing them by its physical name, and reading them back."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from .expressions import NOTHING, ids_filter
from .scanning import STRONG, scan_ranges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from pymilvus import MilvusClient

    from .client import Milvus
    from .entities import Entity
    from .expressions import Conditions

# Not just NOTHING: whoever else writes to the collection may write an empty id.
_NEVER = f'({NOTHING} and id == "0")'
BATCH = 1_000
"""How many entities are sent or read at once: more is no faster, and a message has a limit of 64 MiB."""


async def upsert(milvus: Milvus, name: str, entities: Sequence[Entity]) -> None:
    """Write entities over those of the same ids. Never an alias: pymilvus keeps the schema that it led to before.

    Of two with one id in one call a server keeps both: the last one is sent.
    """
    last = list({each["id"]: each for each in entities}.values())
    for start in range(0, len(last), BATCH):
        rows = last[start : start + BATCH]
        await milvus.write(lambda c, rows=rows: c.upsert(name, rows, timeout=milvus.timeout))  # type: ignore[misc]


async def forget_fields(milvus: Milvus, name: str) -> None:
    """Let pymilvus ask for the fields of a collection anew: it keeps them for as long as the process lives.

    A server before 2.6 refuses what was packed by the fields of another collection, whose name this one has now. There
    is no call for it; pymilvus does it when it is given an entity that lacks fields, before it sends anything.
    """
    from pymilvus.exceptions import DataNotMatchException

    def ask(client: MilvusClient) -> None:
        with suppress(DataNotMatchException):
            client.upsert(name, [{"id": ""}], timeout=milvus.timeout)

    await milvus.write(ask)


async def delete(milvus: Milvus, name: str, ids: Collection[str]) -> None:
    """Delete the entities of these ids. How many there were Milvus does not tell reliably, so nor does this."""
    listed = list(dict.fromkeys(ids))
    for start in range(0, len(listed), BATCH):
        these = ids_filter(listed[start : start + BATCH])
        await milvus.write(lambda c, these=these: c.delete(name, filter=these, timeout=milvus.timeout))  # type: ignore[misc]


async def count(milvus: Milvus, name: str, conditions: Conditions | str = "", *, consistency: str = STRONG) -> int:
    """Count entities: by asking for them, since the statistics of a collection count deleted ones too."""
    found = await milvus.read(
        lambda c: c.query(
            name,
            filter=_filter(milvus, conditions),
            output_fields=["count(*)"],
            consistency_level=consistency,
            timeout=milvus.timeout,
        )
    )
    return int(found[0]["count(*)"])


async def by_ids(
    milvus: Milvus, name: str, ids: Collection[str], fields: Sequence[str], *, consistency: str = STRONG
) -> dict[str, Entity]:
    """Return the entities of these ids that there are, by id."""
    listed, found = list(dict.fromkeys(ids)), {}
    for start in range(0, len(listed), BATCH):
        these = ids_filter(listed[start : start + BATCH])
        rows = await milvus.read(
            lambda c, these=these: c.query(  # type: ignore[misc]
                name, filter=these, output_fields=["id", *fields], consistency_level=consistency, timeout=milvus.timeout
            )
        )
        found.update({row["id"]: row for row in rows})
    return found


async def scan(
    milvus: Milvus,
    name: str,
    fields: Sequence[str],
    conditions: Conditions | str = "",
    *,
    batch: int = BATCH,
) -> AsyncIterator[list[Entity]]:
    """Read all entities, page after page, each of them once; `*` is every field.

    Not as of one moment: what is written meanwhile is there as it was before or after.
    """
    there = await count(milvus, name, conditions)
    pages = scan_ranges(milvus, name, fields, _filter(milvus, conditions), there, batch)
    async with aclosing(pages):
        async for page in pages:
            yield page


async def search(
    milvus: Milvus,
    name: str,
    vector: Any,
    conditions: Conditions | str,
    *,
    limit: int,
    params: dict[str, int],
    fields: Sequence[str],
    consistency: str,
) -> list[tuple[float, Entity]]:
    """Return the nearest entities with their cosine similarity, best first. `name` may be an alias."""
    found = await milvus.read(
        lambda c: c.search(
            name,
            [vector],
            anns_field="embedding",
            filter=_filter(milvus, conditions),
            limit=limit,
            # Without fields Milvus Lite returns all of them, the vectors too.
            output_fields=["id", *fields],
            search_params={"metric_type": "COSINE", "params": params},
            consistency_level=consistency,
            timeout=milvus.timeout,
        )
    )
    return [(float(hit["distance"]), dict(hit["entity"])) for hit in found[0]]


def _filter(milvus: Milvus, conditions: Conditions | str) -> str:
    """Return the filter of some conditions.

    Servers before 2.4 upsert an entity into the partition of another field (github.com/milvus-io/milvus/pull/30772),
    and look for a tenant in the partition of its own: in all of them only where the key does not decide alone.
    """
    filter_ = str(conditions)
    return filter_ if milvus.capabilities.finds_partitions or not filter_ else f"({filter_}) or {_NEVER}"
