from __future__ import annotations

import pytest
from pymilvus import DataType, MilvusClient

from memstore.errors import MilvusRefusedError, MilvusStateError
from memstore.milvus import Engine, Milvus
from memstore.milvus import collections as ours
from memstore.milvus.engine import FLAT, HNSW, IVF_FLAT, VectorIndex
from memstore.milvus.state import schema_differences
from tests.milvus.rows import spec

NAME = "memories_unified__0001"
SPEC = spec(8)


async def made(milvus: Milvus, index: VectorIndex | None = None) -> None:
    await ours.create(milvus, NAME, SPEC, {"memstore.state": "building"})
    await ours.ensure_indexes(milvus, NAME, SPEC, index or milvus.capabilities.default_index)


async def test_a_collection_is_what_its_version_says(connection: Milvus) -> None:
    await made(connection)
    found = await ours.describe(connection, NAME)
    counts_shards = connection.capabilities.engine is Engine.SERVER
    assert schema_differences(found, SPEC, counts_shards=counts_shards) == []
    assert found.properties["memstore.state"] == "building"
    assert found.metric == "COSINE"
    assert set(found.indexes) == set(ours.wanted_indexes(connection, SPEC, FLAT))
    if connection.capabilities.engine is Engine.SERVER:
        assert "is_deleted" not in found.indexes
        assert found.indexes["user_id"] == "Trie"
    else:
        assert set(found.indexes) == {"embedding"}


@pytest.mark.parametrize("index", [FLAT, HNSW, IVF_FLAT], ids=lambda index: index.type)
async def test_the_parameters_of_an_index_reach_both_engines(connection: Milvus, index: VectorIndex) -> None:
    await made(connection, index)
    found = await ours.describe(connection, NAME)
    assert found.indexes["embedding"] == index.type
    assert {name: found.build.get(name) for name in index.build} == {k: str(v) for k, v in index.build.items()}


async def test_an_index_of_another_kind_is_named(connection: Milvus) -> None:
    await made(connection, FLAT)
    with pytest.raises(MilvusStateError, match="the index on embedding is FLAT, wanted was HNSW"):
        await ours.check_indexes(connection, NAME, SPEC, HNSW)
    other = VectorIndex("IVF_FLAT", {"nlist": 7})
    await connection.write(lambda c: c.release_collection(NAME, timeout=30))
    await connection.write(lambda c: c.drop_index(NAME, "embedding", timeout=30))
    await ours.ensure_indexes(connection, NAME, SPEC, other)
    with pytest.raises(MilvusStateError, match="the vector index has nlist 7, wanted was 1024"):
        await ours.check_indexes(connection, NAME, SPEC, IVF_FLAT)


async def test_what_a_collection_lacks_is_named(connection: Milvus) -> None:
    await made(connection)
    found = await ours.describe(connection, NAME)
    more = spec(8).without("version").adding(SPEC.field("version").__class__("age", SPEC.field("version").kind, "age"))
    named = schema_differences(found, more.of_width(9), counts_shards=False)
    assert "the field age is missing" in named
    assert "the field version is not memstore's" in named
    assert "the field embedding is FLOAT_VECTOR 8, wanted is FLOAT_VECTOR 9" in named


async def test_an_alias_moves_in_one_step_and_its_target_cannot_be_dropped(connection: Milvus) -> None:
    await made(connection)
    await ours.create(connection, "other__0002", SPEC, {})
    assert await ours.target_of(connection, "readers") is None
    await ours.point(connection, "readers", NAME)
    await ours.point(connection, "readers", NAME)
    await ours.point(connection, "readers", "other__0002")
    assert await ours.target_of(connection, "readers") == "other__0002"
    for name in ("readers", "other__0002"):
        with pytest.raises(MilvusStateError, match="readers"):
            await ours.drop(connection, name)
    assert await ours.names(connection) == [NAME, "other__0002"]
    await ours.drop(connection, NAME)
    await ours.remove_alias(connection, "readers")
    await ours.drop(connection, "other__0002")
    assert await ours.names(connection) == []


async def test_a_collection_that_is_not_there_is_refused_with_milvus_own_number(connection: Milvus) -> None:
    with pytest.raises(MilvusRefusedError, match="nowhere") as caught:
        await ours.describe(connection, "nowhere")
    assert caught.value.milvus_code in (4, 100)


async def test_a_field_that_a_server_made_otherwise_is_seen(connection: Milvus) -> None:
    def make(client: MilvusClient) -> None:
        schema = MilvusClient.create_schema(enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, max_length=36, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(NAME, schema=schema, timeout=30)

    await connection.write(make)
    named = schema_differences(await ours.describe(connection, NAME), SPEC, counts_shards=False)
    assert "the field org_id is missing" in named
    assert "it takes no dynamic fields" in named
