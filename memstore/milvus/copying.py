"""Copying memories into a collection as they are at this moment: the one way that anything is written to the mirror.

Whoever calls this holds the shard of the memories.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import MilvusRefusedError
from . import entity_store
from .engine import Engine
from .entities import Rejection, UnfitEntityError, entity_id, entity_of
from .shards import locked_to_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from .client import Milvus
    from .entities import Entity
    from .fields import CollectionSpec
    from .source import Key, Source

# What a server says of a value that it cannot take, not of itself or of the collection.
_ABOUT_DATA = range(1_100, 1_200)
_ABOUT_FIELDS = range(1_700, 1_900)


SET_ASIDE_AFTER = 3
"""How often a memory is refused before it is set aside, and more."""


@dataclass(frozen=True, slots=True)
class Target:
    """A collection that is written to, by its physical name, and what it is made of."""

    name: str
    spec: CollectionSpec


@dataclass(slots=True)
class Copied:
    """What became of memories: how many were written, how many taken out, and which cannot be held."""

    upserted: int = 0
    deleted: int = 0
    rejections: list[Rejection] = field(default_factory=list)


async def copy(source: Source, milvus: Milvus, target: Target, keys: Sequence[Key], *, set_aside: bool) -> Copied:
    """Make a collection hold these memories as PostgreSQL has them now; what it has not, or cannot be held, goes.

    With `set_aside` a memory that Milvus itself refuses is one that cannot be held; else that is an error.

    Raises:
        MilvusUnreachableError, MilvusRefusedError: nothing is known to have been written; it can be called again.
    """
    wanted = list(dict.fromkeys(keys))
    rows = await source.rows(target.spec, wanted)
    entities: list[Entity] = []
    versions: dict[Key, int] = {}
    copied = Copied()
    for row in rows:
        key = (row["tenant_id"], row["node_id"])
        versions[key] = row["version"]
        try:
            entities.append(entity_of(target.spec, row))
        except UnfitEntityError as error:
            copied.rejections.append(Rejection(*key, row["version"], f"{target.name}: {error}"))
    by_id: Mapping[str, Key] = {entity_id(*key): key for key in wanted}
    async with writing(source, milvus):
        refused = await _refused(milvus, target.name, entities, set_aside=set_aside)
        held = {entity["id"] for entity in entities} - {entity["id"] for entity, _ in refused}
        gone = [id_ for id_ in by_id if id_ not in held]
        # What cannot be held as it is now must not be found as it was.
        await entity_store.delete(milvus, target.name, gone)
    for entity, refusal in refused:
        key = by_id[entity["id"]]
        copied.rejections.append(Rejection(*key, versions[key], f"{target.name}: {refusal}"))
    copied.upserted, copied.deleted = len(held), len(gone)
    return copied


async def copy_or_set_aside(source: Source, milvus: Milvus, target: Target, keys: Sequence[Key]) -> Copied:
    """Copy memories, and set aside those that Milvus refuses each time that it is asked. Raises as `copy`."""
    for _ in range(SET_ASIDE_AFTER):
        try:
            return await copy(source, milvus, target, keys, set_aside=False)
        except MilvusRefusedError:
            await entity_store.forget_fields(milvus, target.name)
    return await copy(source, milvus, target, keys, set_aside=True)


def writing(source: Source, milvus: Milvus) -> AbstractAsyncContextManager[None]:
    """Return what is held while entities are written.

    Milvus Lite does not take two writers at once, and where it is a server several processes write to it.
    """
    return locked_to_write(source.connection) if milvus.capabilities.engine is Engine.LITE else nullcontext()


async def _refused(
    milvus: Milvus, name: str, entities: list[Entity], *, set_aside: bool
) -> list[tuple[Entity, MilvusRefusedError]]:
    """Write entities, and return those that Milvus refuses by themselves.

    Raises:
        MilvusRefusedError: it is not about the data of one of them, or it refuses all of several: then it is not they
            that are at fault.
    """
    refused = await _upsert(milvus, name, entities)
    if refused and (not set_aside or len(refused) == len(entities) > 1):
        raise refused[0][1]
    return refused


async def _upsert(milvus: Milvus, name: str, entities: list[Entity]) -> list[tuple[Entity, MilvusRefusedError]]:
    if not entities:
        return []
    try:
        await entity_store.upsert(milvus, name, entities)
    except MilvusRefusedError as error:
        if len(entities) == 1:
            if not _is_about_data(milvus, error):
                raise
            return [(entities[0], error)]
        half = len(entities) // 2
        return await _upsert(milvus, name, entities[:half]) + await _upsert(milvus, name, entities[half:])
    return []


def _is_about_data(milvus: Milvus, error: MilvusRefusedError) -> bool:
    if milvus.capabilities.engine is Engine.LITE:
        return False  # it says one thing of whatever goes wrong, a full disk too
    code = error.milvus_code
    return isinstance(code, int) and (code in _ABOUT_DATA or code in _ABOUT_FIELDS)
