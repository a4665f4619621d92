"""In what a memory and the entity that mirrors it differ, and telling which memory an entity is of."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from .entities import UnfitEntityError, entity_id, value_of
from .fields import Kind
from .shards import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .entities import Entity
    from .fields import CollectionSpec
    from .source import Key

# What is compared of every memory. The version alone would not do: a memory that was deleted and added again is at
# version 1 again, and an access is no new version.
COMPARED = ("version", "created_at", "updated_at", "last_accessed", "access_count")


class Problem(StrEnum):
    """In what a collection is not what it should be."""

    MISSING = "missing"
    """A memory is not there."""
    STRAY = "stray"
    """An entity is of no memory that should be there."""
    STALE = "stale"
    """A memory is there as it was at another time."""
    CHANGED = "changed"
    """A field of a memory has another value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One memory that is not as it should be; of an entity that names no memory, `node_id` is its own id."""

    problem: Problem
    tenant_id: UUID | None
    node_id: str
    detail: str


def difference(spec: CollectionSpec, key: Key, row: Any, entity: Entity | None) -> Difference | None:
    """Compare a memory, by what is compared of all, with its entity."""
    if not row["is_mirrored"]:
        return None if entity is None else Difference(Problem.STRAY, *key, f"at version {entity['version']}")
    if entity is None:
        return Difference(Problem.MISSING, *key, f"version {row['version']}")
    details = []
    for name in COMPARED:
        try:
            wanted = value_of(spec, spec.field(name), row)
        except UnfitEntityError as error:
            return Difference(Problem.STALE, *key, str(error))
        if entity[name] != wanted:
            details.append(f"{name} {entity[name]} instead of {wanted}")
    return Difference(Problem.STALE, *key, ", ".join(details)) if details else None


def changed_fields(spec: CollectionSpec, wanted: Entity, found: Entity) -> list[str]:
    """Return the fields whose values differ; what went through float32 is compared as that."""
    changed = []
    for each in spec.fields:
        one, other = wanted[each.name], found[each.name]
        if each.kind in (Kind.VECTOR, Kind.FLOAT):
            same = np.array_equal(np.asarray(one, dtype=np.float32), np.asarray(other, dtype=np.float32))
        else:
            same = one == other
        if not same:
            changed.append(each.name)
    return changed


def key_of(entity: Entity) -> Key | None:
    """Return the memory that an entity says it is of; None where that is not the memory of its id."""
    try:
        key = (UUID(entity["org_id"]), entity["node_id"])
    except ValueError:
        return None
    return key if entity_id(*key) == entity["id"] else None


def by_shard(keys: Iterable[Key]) -> list[tuple[int, list[Key]]]:
    """Return memories by their shards."""
    ordered = sorted(dict.fromkeys(keys), key=lambda key: (shard_of(key[0]), key))
    return [(shard, list(group)) for shard, group in groupby(ordered, key=lambda key: shard_of(key[0]))]


class Sample:
    """Some of many, each as likely as any other (algorithm R of J. S. Vitter, 1985)."""

    def __init__(self, size: int) -> None:
        self.keys: list[Key] = []
        self._size = size
        self._seen = 0

    def offer(self, keys: Iterable[Key]) -> None:
        """Take some of these in, perhaps in the place of others."""
        for key in keys:
            self._seen += 1
            if len(self.keys) < self._size:
                self.keys.append(key)
            elif (chosen := random.randrange(self._seen)) < self._size:  # noqa: S311 -- a sample, no secret
                self.keys[chosen] = key
