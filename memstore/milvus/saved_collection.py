"""What a collection is, as a backup keeps it and a restore makes it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BackupError, MilvusStateError
from . import collections
from .engine import Engine
from .fields import Kind
from .lite_folder import clear_remains
from .saved_indexes import SavedIndex, find_indexes
from .state import STATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymilvus import MilvusClient

    from .client import Milvus

PRIMARY = "id"

_DEFAULT_PARTITION = "_default"
_NULLS_SINCE = (2, 5)
_SHARDS = 2


@dataclass(frozen=True, slots=True)
class SavedField:
    """A field.

    length: of a VARCHAR, as Milvus counts it; of a vector, its width.
    """

    name: str
    kind: Kind
    length: int | None
    is_primary: bool
    is_partition_key: bool
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class SavedCollection:
    """A collection, but for its name and its entities.

    is_dynamic: whether an entity may have more than these fields.
    shards: None on Milvus Lite, which keeps no number; a server then makes as many as of memstore's own.
    partitions: how many a partition key spreads over; None where that is not chosen.
    """

    fields: tuple[SavedField, ...]
    indexes: tuple[SavedIndex, ...]
    is_dynamic: bool
    shards: int | None
    partitions: int | None
    consistency: str
    properties: Mapping[str, str]

    @property
    def width(self) -> int:
        """How many numbers the vectors of an entity have together."""
        return sum(each.length or 0 for each in self.fields if each.kind is Kind.VECTOR)

    def kind_of(self, name: str) -> Kind:
        """Return the kind of a field that it has."""
        return next(each.kind for each in self.fields if each.name == name)


async def find_collection(milvus: Milvus, name: str) -> SavedCollection:
    """Return what there is to keep of a collection.

    Raises:
        BackupError: it has something that would be lost.
    """
    told = await milvus.read(lambda c: c.describe_collection(name, timeout=milvus.timeout))
    indexes = await find_indexes(milvus, name)
    fields = tuple(_field(name, each) for each in told["fields"])
    if [each.kind for each in fields if each.is_primary and each.name == PRIMARY] != [Kind.VARCHAR]:
        raise _lost(name, f"has no VARCHAR {PRIMARY!r} for its primary key")
    if told.get("auto_id") or told.get("functions"):
        raise _lost(name, "makes values by itself (auto_id or functions)")
    has_key = any(each.is_partition_key for each in fields)
    if not has_key:
        partitions = await milvus.read(lambda c: c.list_partitions(name, timeout=milvus.timeout))
        if others := sorted(set(partitions) - {_DEFAULT_PARTITION}):
            raise _lost(name, f"has partitions of its own: {', '.join(others[:5])}")
    on_server = milvus.capabilities.engine is Engine.SERVER
    return SavedCollection(
        fields=fields,
        indexes=indexes,
        is_dynamic=bool(told.get("enable_dynamic_field")),
        shards=int(told["num_shards"]) if on_server else None,
        # Milvus Lite has 16 whatever is asked, and counts one more.
        partitions=int(told.get("num_partitions") or 0) or None if on_server and has_key else None,
        consistency=str(told.get("consistency_level_name") or "Bounded"),
        properties={str(key): str(value) for key, value in sorted((told.get("properties") or {}).items())},
    )


def check_creatable(milvus: Milvus, saved: SavedCollection) -> None:
    """Check that this Milvus has what a collection needs.

    Raises:
        BackupError: it takes null for a value, and has none.
    """
    here = milvus.capabilities
    nullable = [each.name for each in saved.fields if each.is_nullable]
    if nullable and here.engine is Engine.SERVER and here.version < _NULLS_SINCE:
        raise BackupError(
            f"in the backup {', '.join(nullable)} may be null, and Milvus {here.said} has no null. Restore it into "
            "Milvus 2.5 or newer, or Milvus Lite"
        )


async def create(milvus: Milvus, name: str, saved: SavedCollection, properties: Mapping[str, str]) -> None:
    """Make the collection again, with these properties and without indexes.

    Raises:
        MilvusStateError: what Milvus made is something else.
    """

    def make(client: MilvusClient) -> None:
        clear_remains(milvus.settings, name)
        partitions = {"num_partitions": saved.partitions} if saved.partitions else {}
        client.create_collection(
            name,
            schema=_schema(saved),
            num_shards=saved.shards or _SHARDS,
            consistency_level=saved.consistency,
            properties=dict(properties),
            timeout=milvus.timeout,
            **partitions,
        )

    await milvus.write(make)
    found = await find_collection(milvus, name)
    if (found.fields, found.is_dynamic) != (saved.fields, saved.is_dynamic):
        raise MilvusStateError(f"{name}: Milvus made {_in_words(found)}, wanted was {_in_words(saved)}")


async def set_state(milvus: Milvus, name: str, state: str | None) -> None:
    """Write what state a collection is in; None takes it away where the Milvus can, else empties it."""
    here = milvus.capabilities
    if state is None and (here.engine is Engine.LITE or here.version >= _NULLS_SINCE):
        await milvus.write(lambda c: c.drop_collection_properties(name, [STATE], timeout=milvus.timeout))
    else:
        await collections.set_properties(milvus, name, {STATE: state or ""})


def _schema(saved: SavedCollection) -> Any:
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=saved.is_dynamic)
    for field in saved.fields:
        given: dict[str, Any] = {"nullable": True} if field.is_nullable else {}
        if field.kind is Kind.VARCHAR:
            given["max_length"] = field.length
        if field.kind is Kind.VECTOR:
            given["dim"] = field.length
        schema.add_field(
            field.name,
            DataType[field.kind.value],
            is_primary=field.is_primary,
            is_partition_key=field.is_partition_key,
            **given,
        )
    return schema


def _field(name: str, told: Mapping[str, Any]) -> SavedField:
    kind, params = told["type"].name, told.get("params") or {}
    if kind not in list(Kind):
        raise _lost(name, f"has a field {told['name']} of type {kind}")
    if told.get("default_value") is not None:
        raise _lost(name, f"has a default for {told['name']}")
    length = {Kind.VARCHAR: "max_length", Kind.VECTOR: "dim"}.get(Kind(kind))
    if length is not None and length not in params:
        raise _lost(name, f"has a field {told['name']} without a length")
    if Kind(kind) is Kind.VECTOR and told.get("nullable"):
        raise _lost(name, f"has a vector {told['name']} that may be null")
    return SavedField(
        name=told["name"],
        kind=Kind(kind),
        length=None if length is None else int(params[length]),
        is_primary=bool(told.get("is_primary")),
        is_partition_key=bool(told.get("is_partition_key")),
        is_nullable=bool(told.get("nullable")),
    )


def _lost(name: str, what: str) -> BackupError:
    return BackupError(
        f"{name} {what}, which a backup of memstore would lose. Use the tool of Milvus for this one: milvus-backup"
    )


def _in_words(saved: SavedCollection) -> str:
    fields = ", ".join(f"{each.name} {each.kind}({each.length})" for each in saved.fields)
    return f"{fields}{' and dynamic fields' if saved.is_dynamic else ''}"
