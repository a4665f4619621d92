"""The indexes of a collection, as a backup keeps them and another Milvus can have them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import MilvusStateError
from . import collections
from .engine import Capabilities, Engine
from .fields import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymilvus import MilvusClient

    from .client import Milvus

_BOOKKEEPING = frozenset({
    "field_name", "index_name", "index_type", "metric_type", "params", "state", "total_rows", "indexed_rows",
    "pending_index_rows", "index_state_fail_reason", "min_index_version", "max_index_version",
})  # fmt: skip
_ON_LITE = frozenset({"FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX", "INVERTED"})
_ON_2_3 = frozenset(
    {"FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "SCANN", "DISKANN", "AUTOINDEX", "TRIE", "STL_SORT"}
)
_SINCE_2_4 = _ON_2_3 | {"INVERTED", "BITMAP"}
_SINCE_2_5 = _SINCE_2_4 | {"HNSW_SQ", "HNSW_PQ", "HNSW_PRQ"}
_SINCE_2_6 = _SINCE_2_5 | {"IVF_RABITQ"}


@dataclass(frozen=True, slots=True)
class SavedIndex:
    """An index on a field; only one on vectors has a metric and is built with parameters."""

    field: str
    type: str
    metric: str | None
    build: Mapping[str, int | str]

    def __str__(self) -> str:
        built = "".join(f", {key} {value}" for key, value in self.build.items())
        return f"{self.type}{f' ({self.metric}{built})' if self.metric else ''}"


async def find_indexes(milvus: Milvus, name: str) -> tuple[SavedIndex, ...]:
    """Return the indexes of a collection, by the names of their fields."""

    def ask(client: MilvusClient) -> list[dict[str, Any]]:
        listed = client.list_indexes(name, timeout=milvus.timeout)
        return [client.describe_index(name, each, timeout=milvus.timeout) for each in listed]

    return tuple(sorted(map(_saved, await milvus.read(ask)), key=lambda each: each.field))


def adapted(index: SavedIndex, kind: Kind, there: Capabilities, here: Capabilities) -> SavedIndex | None:
    """Return the index to make here for one from there; None where a field of this kind has none.

    What can be had stays as it is, but for what memstore itself chose by the kind of Milvus. A vector index of a server
    is none for Milvus Lite even where the name is the same: its HNSW misses most of what a filter leaves.
    """
    if kind is Kind.VECTOR:
        to_lite = there.engine is Engine.SERVER and here.engine is Engine.LITE
        if index.type.upper() in _available(here) and not to_lite:
            return index
        return replace(index, type=here.default_index.type, build=dict(here.default_index.build))
    usual = there.scalar_indexes.get(kind, "").upper() == index.type.upper()
    if not usual and index.type.upper() in _available(here):
        return index
    wanted = here.scalar_indexes.get(kind)
    return None if wanted is None else replace(index, type=wanted)


async def make_indexes(milvus: Milvus, name: str, indexes: tuple[SavedIndex, ...]) -> None:
    """Make these indexes on a collection that has none.

    Raises:
        MilvusStateError: what Milvus made is something else.
    """

    def make(client: MilvusClient) -> None:
        for index in indexes:
            params = client.prepare_index_params()
            # pymilvus sends them one by one, Milvus Lite reads them from `params`.
            given = {**index.build, "params": dict(index.build)} if index.metric else {}
            metric = {"metric_type": index.metric} if index.metric else {}
            params.add_index(index.field, index_type=index.type, params=given, **metric)
            client.create_index(name, params, sync=False, timeout=milvus.timeout)

    await milvus.write(make)
    found = {each.field: each for each in await find_indexes(milvus, name)}
    for index in indexes:
        made = found.get(index.field)
        if made is None or str(made).upper() != str(index).upper():
            raise MilvusStateError(f"{name}: the index on {index.field} is {made or 'missing'}, wanted was {index}")


async def await_indexes(milvus: Milvus, name: str) -> None:
    """Let a collection be searched, and wait until its indexes are built."""
    await collections.load(milvus, name)
    await collections.await_indexes(milvus, name)


def _saved(told: Mapping[str, Any]) -> SavedIndex:
    metric = str(told.get("metric_type") or "NONE")  # of a scalar Milvus Lite says this, a server nothing
    nested = told.get("params") or {}
    given = {**(json.loads(nested) if isinstance(nested, str) else nested), **told}
    build = {key: _number(value) for key, value in sorted(given.items()) if key not in _BOOKKEEPING}
    if metric == "NONE":
        return SavedIndex(str(told["field_name"]), str(told["index_type"]), None, {})
    return SavedIndex(str(told["field_name"]), str(told["index_type"]), metric, build)


def _number(value: Any) -> int | str:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else text


def _available(here: Capabilities) -> frozenset[str]:
    if here.engine is Engine.LITE:
        return _ON_LITE
    newest = ((2, 6), _SINCE_2_6), ((2, 5), _SINCE_2_5), ((2, 4), _SINCE_2_4)
    return next((types for since, types in newest if here.version >= since), _ON_2_3)
