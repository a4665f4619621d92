"""What a Milvus can do, by what it says that it is: Milvus Lite, or a server of some version."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ..errors import SettingsError
from .fields import Kind
from .settings import VectorIndexChoice

if TYPE_CHECKING:
    from collections.abc import Mapping

_LITE = re.compile(r"milvus_lite-(\d+)\.(\d+)\.(\d+)")
_SERVER = re.compile(r"v?(\d+)\.(\d+)")
_NUMERIC = (Kind.INT8, Kind.INT32, Kind.INT64, Kind.FLOAT)


class Engine(StrEnum):
    """The kinds of Milvus."""

    LITE = "lite"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """A vector index: how it is built, and how it is searched."""

    type: str
    build: Mapping[str, int] = field(default_factory=dict)
    search: Mapping[str, int] = field(default_factory=dict)

    def search_params(self, limit: int) -> dict[str, int]:
        """Return the parameters of a search for `limit` entities."""
        params = dict(self.search)
        if "ef" in params:
            params["ef"] = max(params["ef"], 2 * limit)  # a walk narrower than what is wanted is refused
        return params


FLAT = VectorIndex("FLAT")
HNSW = VectorIndex("HNSW", {"M": 16, "efConstruction": 200}, {"ef": 128})
# At the usual nprobe a tenant of 1 % gets a quarter of what is nearest, and 0.85 to 0.96 at a quarter of the lists: all
# of them are looked into.
IVF_FLAT = VectorIndex("IVF_FLAT", {"nlist": 1_024}, {"nprobe": 1_024})

_BY_CHOICE = {VectorIndexChoice.FLAT: FLAT, VectorIndexChoice.HNSW: HNSW, VectorIndexChoice.IVF_FLAT: IVF_FLAT}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this Milvus can do.

    scalar_indexes: which index a field of each kind can have; a kind that is missing has none.
    finds_partitions: whether what is upserted goes to the partition of its key, where a search for the key looks.
    """

    engine: Engine
    version: tuple[int, int]
    said: str
    scalar_indexes: Mapping[Kind, str]
    finds_partitions: bool
    default_index: VectorIndex

    @classmethod
    def of(cls, said: str) -> Capabilities:
        """Return what a Milvus can do that says this of its version, such as "milvus_lite-3.2.2" or "v2.3.5-lite".

        Raises:
            SettingsError: it is older than what memstore was tried with, or says nothing that can be read.
        """
        if (lite := _LITE.match(said)) is not None:
            version = int(lite[1]), int(lite[2])
            # Before, pages of a collection come in no order, so that some of it is read twice and some never.
            if (*version, int(lite[3])) < (3, 2, 1):
                raise SettingsError(
                    f"Milvus Lite is {said}. Needed: 3.2.1 or newer. Run: pip install 'milvus-lite>=3.2.1'"
                )
            # An index on scalars brings no speed there: each search reads every row.
            return cls(Engine.LITE, version, said, {}, True, FLAT)
        server = _SERVER.match(said)
        if server is None:
            raise SettingsError(f"Milvus says that its version is {said[:40]!r}, which memstore cannot read")
        version = int(server[1]), int(server[2])
        if version < (2, 3):
            raise SettingsError(f"Milvus is {said}. Needed: 2.3 or newer")
        if version < (2, 4):
            scalar = {Kind.VARCHAR: "Trie", **dict.fromkeys(_NUMERIC, "STL_SORT")}
        else:
            scalar = {Kind.VARCHAR: "INVERTED", Kind.BOOL: "INVERTED", **dict.fromkeys(_NUMERIC, "INVERTED")}
        return cls(Engine.SERVER, version, said, scalar, version >= (2, 4), HNSW)

    def vector_index(self, choice: VectorIndexChoice) -> VectorIndex:
        """Return the vector index that a new collection gets."""
        return _BY_CHOICE.get(choice, self.default_index)


def index_of(kind: str) -> VectorIndex:
    """Return the vector index of a type that a collection was found with; one of somebody else's has no parameters."""
    return next((each for each in _BY_CHOICE.values() if each.type == kind), VectorIndex(kind))
