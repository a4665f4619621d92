"""A collection to back up, with whatever Milvus takes in it, and how two of them are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from memstore.milvus import Milvus, collections, entity_store
from memstore.milvus.entities import Entity
from memstore.milvus.fields import CollectionSpec, Field, Form, Kind, moment, text
from memstore.milvus.saved_indexes import find_indexes

NAME = "memories__0001"
ALIAS = "memories"
WIDTH = 8
PROPERTIES = {"memstore.revision": "0001_memories", "memstore.state": "active"}

SPEC = CollectionSpec(
    fields=(
        Field("id", Kind.VARCHAR, "id", Form.ENTITY_ID, 36),
        text("org_id", "tenant_id", 36),
        text("word", "word", 400, indexed=True),
        Field("embedding", Kind.VECTOR, "embedding"),
        Field("importance", Kind.INT8, "importance", indexed=True),
        Field("count", Kind.INT32, "count"),
        moment("created_at", "created_at"),
        Field("decay", Kind.FLOAT, "decay"),
        Field("is_deleted", Kind.BOOL, "is_deleted"),
    ),
    dimensions=WIDTH,
)

_WORDS = ("", "plain", "naïve, Ünïcödé 漢字 🧠", "\"quoted\" 'twice' \\ {braces}", "two\nlines\tand\ra NUL \0 or \x01")
_DYNAMIC: tuple[dict[str, Any], ...] = (
    {},
    {"texts": list(_WORDS), "ключ 🗝": _WORDS[3], "a.b c": ""},
    {"nested": {"deep": [{"er": [1, None, True, {"": "empty key"}]}, [], {}]}, "nothing": None},
    {"big": 2**63 - 1, "small": -(2**63), "odd": 2**53 + 1, "float": 0.1, "whole": 1.0, "tiny": 5e-324, "huge": 1e308},
    {"id2": "x", "$": 1, "true": False},
)
_FLOATS = (0.1, -0.0, 1e-45, 3.4028234663852886e38, -1.5)
_EXTREMES = np.array([1e-45, -0.0, 1e18, -1.1754944e-38, 1e-40, 1.0, 0.1, -0.1], np.float32)


def entities(count: int) -> list[Entity]:
    """Return so many entities, the first of them with extremes of everything."""
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((count, WIDTH)).astype(np.float32)
    vectors[:1] = _EXTREMES
    return [
        {
            "id": f"{index:08}",
            "org_id": f"org {index % 3}",
            "word": _WORDS[index % len(_WORDS)],
            "embedding": vectors[index],
            "importance": (-128, 127, 0)[index % 3],
            "count": (-(2**31), 2**31 - 1, 0)[index % 3],
            "created_at": (-(2**63), 2**63 - 1, 0)[index % 3],
            "decay": _FLOATS[index % len(_FLOATS)],
            "is_deleted": index % 2 == 0,
            **_DYNAMIC[index % len(_DYNAMIC)],
        }
        for index in range(count)
    ]


async def make_collection(connection: Milvus, count: int, *, name: str = NAME, alias: str | None = ALIAS) -> None:
    """Make the collection of so many entities, with its indexes, its properties and an alias."""
    await collections.create(connection, name, SPEC, PROPERTIES)
    await collections.ensure_indexes(connection, name, SPEC, connection.capabilities.default_index)
    await entity_store.upsert(connection, name, entities(count))
    if alias is not None:
        await collections.point(connection, alias, name)


async def remove_collection(connection: Milvus, name: str = NAME) -> None:
    """Drop a collection and the aliases that lead to it."""
    for alias in await collections.aliases_of(connection, name):
        await collections.remove_alias(connection, alias)
    await collections.drop(connection, name)


def exactly(entity: Entity) -> Entity:
    """Return an entity with its floats as the bytes that Milvus keeps of them, and its JSON as text, by its keys."""
    vector = np.asarray(entity["embedding"], np.float32).tobytes()
    dynamic = {key: json.dumps(value, sort_keys=True) for key, value in entity.items() if key not in SPEC.names}
    decay = np.float32(entity["decay"]).tobytes()
    return {**entity, **dynamic, "embedding": vector, "decay": decay}


async def contents(connection: Milvus, name: str) -> dict[str, Entity]:
    """Return all entities of a collection by their ids, to the byte."""
    pages = [page async for page in entity_store.scan(connection, name, ["*"])]
    return {row["id"]: exactly(dict(row)) for page in pages for row in page}


async def definition(connection: Milvus, name: str) -> dict[str, Any]:
    """Return all that a collection is but for its name and its entities."""
    found = await collections.describe(connection, name)
    return {
        "fields": found.fields,
        "dynamic": found.dynamic,
        "shards": found.shards,
        "properties": found.properties,
        "indexes": await find_indexes(connection, name),
    }


async def everything(connection: Milvus) -> dict[str, Any]:
    """Return the collections of a Milvus, each with what it is, what leads to it, and how many entities it has."""
    return {
        name: (
            await definition(connection, name),
            await collections.aliases_of(connection, name),
            await entity_store.count(connection, name),
        )
        for name in await collections.names(connection)
    }


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, by the names of its files."""
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir())}


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return what the manifest of a backup says."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found
