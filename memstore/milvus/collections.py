"""Collections as Milvus keeps them: making, describing, naming and dropping them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import MilvusStateError, MilvusUnreachableError
from .engine import Engine
from .fields import CollectionSpec, Kind
from .lite_folder import clear_remains

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymilvus import MilvusClient

    from .client import Milvus
    from .engine import VectorIndex

_LOAD_TIMEOUT_S = 600.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class FoundField:
    """A field as Milvus describes it."""

    name: str
    kind: str
    length: int | None
    is_primary: bool
    is_partition_key: bool


@dataclass(frozen=True, slots=True)
class FoundCollection:
    """A collection as Milvus describes it.

    name: its physical name.
    indexes: the type of the index on each field that has one, as the server says it.
    build: the parameters of the vector index.
    """

    name: str
    fields: tuple[FoundField, ...]
    dynamic: bool
    shards: int
    properties: Mapping[str, str]
    indexes: Mapping[str, str]
    metric: str | None
    build: Mapping[str, str]


async def names(milvus: Milvus) -> list[str]:
    """Return the physical names of all collections, sorted."""
    return sorted(await milvus.read(lambda c: c.list_collections(timeout=milvus.timeout)))


async def target_of(milvus: Milvus, alias: str) -> str | None:
    """Return the physical name that an alias leads to; None where there is no such alias."""

    def ask(client: MilvusClient) -> str | None:
        # Asked for what is not there pymilvus logs an error, with its trace.
        if alias not in client.list_aliases(timeout=milvus.timeout)["aliases"]:
            return None
        target: str = client.describe_alias(alias, timeout=milvus.timeout)["collection_name"]
        return target

    return await milvus.read(ask)


async def aliases_of(milvus: Milvus, name: str) -> list[str]:
    """Return the aliases that lead to a collection."""
    found = await milvus.read(lambda c: c.list_aliases(name, timeout=milvus.timeout))
    return sorted(found["aliases"])


async def is_there(milvus: Milvus, name: str) -> bool:
    """Return whether there is a collection of that physical name; an alias is none."""
    return name in await names(milvus)


async def create(milvus: Milvus, name: str, spec: CollectionSpec, properties: Mapping[str, str]) -> None:
    """Make a collection with its properties, in one step, and without indexes."""

    def make(client: MilvusClient) -> None:
        clear_remains(milvus.settings, name)
        client.create_collection(
            name, schema=_schema(spec), num_shards=spec.shards, properties=dict(properties), timeout=milvus.timeout
        )

    await milvus.write(make)


async def ensure_indexes(milvus: Milvus, name: str, spec: CollectionSpec, index: VectorIndex) -> None:
    """Make the indexes that a collection lacks, load it, and wait until all are built.

    Raises:
        MilvusStateError: it has a vector index of another kind, or Milvus did not take its parameters.
    """
    found = await describe(milvus, name)
    wanted = wanted_indexes(milvus, spec, index)
    missing = {field: kind for field, kind in wanted.items() if field not in found.indexes}
    if missing:

        def make(client: MilvusClient) -> None:
            for field, kind in missing.items():
                params = client.prepare_index_params()
                # pymilvus sends them one by one, Milvus Lite reads them from `params`.
                given = {**index.build, "params": dict(index.build)} if field == spec.vector else {}
                metric = {"metric_type": spec.metric} if field == spec.vector else {}
                params.add_index(field, index_type=kind, params=given, **metric)
                client.create_index(name, params, sync=False, timeout=milvus.timeout)

        await milvus.write(make)
    await load(milvus, name)
    await await_indexes(milvus, name)
    await check_indexes(milvus, name, spec, index)


async def check_indexes(milvus: Milvus, name: str, spec: CollectionSpec, index: VectorIndex) -> None:
    """Check what Milvus says of the indexes that were asked for. Raises as `ensure_indexes`."""
    found = await describe(milvus, name)
    wanted = wanted_indexes(milvus, spec, index)
    for field, kind in wanted.items():
        if found.indexes.get(field, "").upper() != kind.upper():
            raise MilvusStateError(
                f"{name}: the index on {field} is {found.indexes.get(field) or 'missing'}, wanted was {kind}"
            )
    if found.metric != spec.metric:
        raise MilvusStateError(f"{name}: vectors are compared by {found.metric}, wanted was {spec.metric}")
    for parameter, value in index.build.items():
        if found.build.get(parameter) != str(value):
            raise MilvusStateError(
                f"{name}: the vector index has {parameter} {found.build.get(parameter)}, wanted was {value}"
            )


def wanted_indexes(milvus: Milvus, spec: CollectionSpec, index: VectorIndex) -> dict[str, str]:
    """Return the type of index that each field gets on this Milvus; fields without one are left out."""
    scalar = milvus.capabilities.scalar_indexes
    found = {each.name: scalar[each.kind] for each in spec.fields if each.indexed and each.kind in scalar}
    return {spec.vector: index.type, **found}


async def load(milvus: Milvus, name: str) -> None:
    """Let a collection be searched: Milvus Lite forgets that it was loaded, and servers say so before it is true."""
    await milvus.write(lambda c: c.load_collection(name, timeout=max(milvus.timeout, _LOAD_TIMEOUT_S)))


async def settle(milvus: Milvus, name: str) -> None:
    """Let Milvus Lite write what it has to its files, which it reads many times faster; servers do so by themselves."""
    if milvus.capabilities.engine is Engine.LITE:
        await milvus.write(lambda c: c.flush(name, timeout=max(milvus.timeout, _LOAD_TIMEOUT_S)))


async def describe(milvus: Milvus, name: str) -> FoundCollection:
    """Return what a collection is.

    Raises:
        MilvusRefusedError: there is none.
    """

    def ask(client: MilvusClient) -> FoundCollection:
        told = client.describe_collection(name, timeout=milvus.timeout)
        vectors = [each["name"] for each in told["fields"] if each["type"].name.endswith("VECTOR")]
        indexes, build, metric = {}, {}, None
        for index in client.list_indexes(name, timeout=milvus.timeout):
            of = client.describe_index(name, index, timeout=milvus.timeout)
            indexes[of["field_name"]] = of["index_type"]
            if of["field_name"] in vectors:
                # A server lists the parameters beside the rest, Milvus Lite has them in one of their own.
                metric, given = of.get("metric_type"), {**of, **(of.get("params") or {})}
                build = {str(key): str(value) for key, value in given.items()}
        return FoundCollection(
            name=told["collection_name"],
            fields=tuple(_found(each) for each in told["fields"]),
            dynamic=bool(told["enable_dynamic_field"]),
            shards=int(told.get("num_shards") or 0),
            properties={str(key): str(value) for key, value in (told.get("properties") or {}).items()},
            indexes=indexes,
            metric=metric,
            build=build,
        )

    return await milvus.read(ask)


async def identity(milvus: Milvus, name: str) -> str:
    """Return what tells a collection from another of its name, before or after it: for Milvus Lite all have one id."""
    found = await milvus.read(lambda c: c.describe_collection(name, timeout=milvus.timeout))
    return f"{found['collection_id']} {sorted((found.get('properties') or {}).items())}"


async def is_loaded(milvus: Milvus, name: str) -> bool:
    """Return whether a collection can be searched as it is."""
    found = await milvus.read(lambda c: c.get_load_state(name, timeout=milvus.timeout))
    return str(found["state"]).endswith("Loaded") and not str(found["state"]).endswith("NotLoaded")


async def set_properties(milvus: Milvus, name: str, properties: Mapping[str, str]) -> None:
    """Write properties of a collection; others stay."""
    await milvus.write(lambda c: c.alter_collection_properties(name, dict(properties), timeout=milvus.timeout))


async def point(milvus: Milvus, alias: str, name: str) -> None:
    """Let an alias lead to a collection, in one step: readers see the old one or the new one."""
    before = await target_of(milvus, alias)
    if before == name:
        return
    if before is None:
        await milvus.write(lambda c: c.create_alias(name, alias, timeout=milvus.timeout))
    else:
        await milvus.write(lambda c: c.alter_alias(name, alias, timeout=milvus.timeout))


async def remove_alias(milvus: Milvus, alias: str) -> None:
    """Take an alias away; what it leads to stays."""
    await milvus.write(lambda c: c.drop_alias(alias, timeout=milvus.timeout))


async def rename(milvus: Milvus, name: str, new_name: str) -> None:
    """Rename a collection."""
    await milvus.write(lambda c: c.rename_collection(name, new_name, timeout=milvus.timeout))


async def drop(milvus: Milvus, name: str) -> None:
    """Drop a collection by its physical name.

    Raises:
        MilvusStateError: it is an alias, which Milvus Lite would follow and drop its target; or one leads to it.
    """
    target = await target_of(milvus, name)
    if target is not None:
        raise MilvusStateError(f"{name} is an alias of {target}. Name the collection itself")
    if aliases := await aliases_of(milvus, name):
        raise MilvusStateError(f"{name} is what {', '.join(aliases)} leads to, and stays. Lead readers elsewhere first")
    await milvus.write(lambda c: c.drop_collection(name, timeout=milvus.timeout))


def _schema(spec: CollectionSpec) -> Any:
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=True, partition_key_field=spec.partition_key
    )
    for field in spec.fields:
        given: dict[str, Any] = {}
        if field.kind is Kind.VARCHAR:
            given["max_length"] = field.max_length
        if field.kind is Kind.VECTOR:
            given["dim"] = spec.dimensions
        schema.add_field(field.name, DataType[field.kind.value], is_primary=field.name == spec.primary, **given)
    return schema


def _found(told: Mapping[str, Any]) -> FoundField:
    params = told.get("params") or {}
    length = params.get("dim", params.get("max_length"))
    return FoundField(
        told["name"],
        told["type"].name,
        None if length is None else int(length),
        bool(told.get("is_primary")),
        bool(told.get("is_partition_key")),
    )


async def await_indexes(milvus: Milvus, name: str) -> None:
    """Wait until the indexes of a collection that is loaded are built."""
    if milvus.capabilities.engine is Engine.LITE:
        return  # builds them when they are asked for
    deadline = monotonic() + _LOAD_TIMEOUT_S

    def unfinished(client: MilvusClient) -> list[str]:
        states = {index: client.describe_index(name, index, timeout=milvus.timeout) for index in
                  client.list_indexes(name, timeout=milvus.timeout)}  # fmt: skip
        return [index for index, told in states.items() if told.get("state") not in ("Finished", None)]

    while waiting := await milvus.read(unfinished):
        if monotonic() > deadline:
            raise MilvusUnreachableError(
                f"{name}: the indexes on {', '.join(waiting)} were not built within {_LOAD_TIMEOUT_S:g} s. Look at the "
                "server's log, and run it again"
            )
        await asyncio.sleep(_POLL_S)
