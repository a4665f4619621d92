from __future__ import annotations

import pytest

from memstore.errors import SettingsError
from memstore.milvus import Capabilities, Engine, VectorIndexChoice
from memstore.milvus.engine import FLAT, HNSW, IVF_FLAT
from memstore.milvus.fields import Kind


def test_milvus_lite_gets_no_scalar_index_and_no_graph() -> None:
    lite = Capabilities.of("milvus_lite-3.2.2")
    assert (lite.engine, lite.version, lite.scalar_indexes) == (Engine.LITE, (3, 2), {})
    assert lite.vector_index(VectorIndexChoice.AUTO) is FLAT


def test_a_server_whose_version_ends_in_lite_is_a_server() -> None:
    server = Capabilities.of("v2.3.5-lite")
    assert (server.engine, server.version, server.finds_partitions) == (Engine.SERVER, (2, 3), False)
    assert server.scalar_indexes[Kind.VARCHAR] == "Trie"
    assert server.scalar_indexes[Kind.INT8] == "STL_SORT"
    assert Kind.BOOL not in server.scalar_indexes
    assert server.vector_index(VectorIndexChoice.AUTO) is HNSW
    assert server.vector_index(VectorIndexChoice.IVF_FLAT) is IVF_FLAT


@pytest.mark.parametrize("said", ["v2.4.0", "2.5.12", "v2.6.1-dev", "v3.0.0"])
def test_newer_servers_have_inverted_indexes_on_everything(said: str) -> None:
    server = Capabilities.of(said)
    assert set(server.scalar_indexes.values()) == {"INVERTED"}
    assert set(server.scalar_indexes) == set(Kind) - {Kind.VECTOR}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("milvus_lite-3.0.1", "Milvus Lite is milvus_lite-3.0.1. Needed: 3.2.1 or newer"),
        ("milvus_lite-3.2.0", "Milvus Lite is milvus_lite-3.2.0. Needed: 3.2.1 or newer"),
        ("v2.2.9", "Milvus is v2.2.9. Needed: 2.3 or newer"),
        ("unknown", "its version is 'unknown'"),
    ],
)
def test_what_is_too_old_is_refused(said: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Capabilities.of(said)
    assert message in str(caught.value)


def test_a_walk_is_as_wide_as_what_is_wanted() -> None:
    assert HNSW.search_params(10) == {"ef": 128}
    assert HNSW.search_params(1_000) == {"ef": 2_000}
    assert IVF_FLAT.search_params(1_000) == {"nprobe": 1_024}
