from __future__ import annotations

import pytest

from memstore.milvus import Capabilities
from memstore.milvus.fields import Kind
from memstore.milvus.saved_indexes import SavedIndex, adapted

LITE, OLD, NEW = (Capabilities.of(said) for said in ("milvus_lite-3.2.2", "v2.3.5-lite", "v2.6.4"))
_BUILD = {"M": 16, "efConstruction": 200}


def _vector(kind: str, **build: int) -> SavedIndex:
    return SavedIndex("embedding", kind, "IP", build)


@pytest.mark.parametrize(
    ("index", "there", "here", "wanted"),
    [
        (_vector("FLAT"), LITE, LITE, _vector("FLAT")),
        (_vector("HNSW", M=8), LITE, LITE, _vector("HNSW", M=8)),
        (_vector("HNSW", **_BUILD), OLD, LITE, _vector("FLAT")),
        (_vector("IVF_FLAT", nlist=9), OLD, LITE, _vector("FLAT")),
        (_vector("IVF_FLAT", nlist=9), OLD, NEW, _vector("IVF_FLAT", nlist=9)),
        (_vector("DISKANN"), NEW, LITE, _vector("FLAT")),
        (_vector("DISKANN"), NEW, OLD, _vector("DISKANN")),
        (_vector("IVF_RABITQ", nlist=9), NEW, OLD, _vector("HNSW", **_BUILD)),
        (_vector("HNSW_SQ", M=9), LITE, OLD, _vector("HNSW", **_BUILD)),
    ],
)
def test_a_vector_index_stays_where_it_can_be_had_and_serves(
    index: SavedIndex, there: Capabilities, here: Capabilities, wanted: SavedIndex
) -> None:
    assert adapted(index, Kind.VECTOR, there, here) == wanted


@pytest.mark.parametrize(
    ("kind", "type_", "there", "here", "wanted"),
    [
        (Kind.VARCHAR, "Trie", OLD, OLD, "Trie"),
        (Kind.VARCHAR, "Trie", OLD, NEW, "INVERTED"),
        (Kind.VARCHAR, "INVERTED", NEW, OLD, "Trie"),
        (Kind.INT8, "INVERTED", NEW, OLD, "STL_SORT"),
        (Kind.BOOL, "INVERTED", NEW, OLD, None),
        (Kind.BOOL, "INVERTED", NEW, LITE, None),
        (Kind.INT64, "STL_SORT", OLD, LITE, None),
        (Kind.INT64, "BITMAP", NEW, NEW, "BITMAP"),
        (Kind.INT64, "BITMAP", NEW, OLD, "STL_SORT"),
        (Kind.VARCHAR, "INVERTED", LITE, LITE, "INVERTED"),
        (Kind.VARCHAR, "INVERTED", LITE, NEW, "INVERTED"),
    ],
)
def test_a_scalar_index_becomes_what_memstore_chooses_here(
    kind: Kind, type_: str, there: Capabilities, here: Capabilities, wanted: str | None
) -> None:
    index = adapted(SavedIndex("field", type_, None, {}), kind, there, here)
    assert (None if index is None else index.type) == wanted
