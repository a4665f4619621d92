from __future__ import annotations

from pathlib import Path

import pytest
from pymilvus import DataType, MilvusClient

from memstore.errors import BackupError
from memstore.milvus import Milvus as Connection
from memstore.milvus import (
    MilvusSettings,
    collections,
    entity_store,
    load_chain,
    open_milvus,
    restore_backup,
    write_backup,
)
from memstore.milvus.engine import FLAT
from memstore.milvus.state import BuildState, properties_of, schema_differences
from tests.milvus import rows
from tests.milvus.saved import NAME, SPEC, contents, definition, entities, make_collection, remove_collection
from tests.milvus.servers import Milvus
from tests.milvus.worlds import vectors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


async def test_an_index_that_was_chosen_comes_back_with_its_parameters(lite: Connection, folder: Path) -> None:
    await collections.create(lite, NAME, SPEC, {})

    def index(client: MilvusClient) -> None:
        params = client.prepare_index_params()
        built = {"nlist": 77}
        params.add_index("embedding", index_type="IVF_FLAT", metric_type="L2", params={**built, "params": built})
        params.add_index("word", index_type="INVERTED")
        client.create_index(NAME, params, sync=False, timeout=30)

    await lite.write(index)
    await entity_store.upsert(lite, NAME, entities(100))
    await write_backup(lite, NAME, folder)
    result = await restore_backup(lite, folder, as_name="copy")
    assert result.adapted == ()
    made = await definition(lite, "copy")
    assert made == await definition(lite, NAME)
    assert [str(each) for each in made["indexes"]] == ["IVF_FLAT (L2, nlist 77)", "INVERTED"]


async def test_a_server_and_milvus_lite_restore_each_other(
    real_milvus: Milvus, lite: Connection, tmp_path: Path
) -> None:
    async with await open_milvus(MilvusSettings(uri=real_milvus.uri)) as real:
        await make_collection(real, 300)
        held = await contents(real, NAME)
        await write_backup(real, NAME, tmp_path / "real")
        result = await restore_backup(lite, tmp_path / "real")
        assert result.adapted == (
            "the index on embedding is FLAT (COSINE) on Milvus milvus_lite-3.2.2; it was "
            "HNSW (COSINE, M 16, efConstruction 200)",
            "the index on importance has none on Milvus milvus_lite-3.2.2; it was STL_SORT",
            "the index on word has none on Milvus milvus_lite-3.2.2; it was Trie",
        )
        assert await contents(lite, NAME) == held
        await write_backup(lite, NAME, tmp_path / "lite")
        back = await restore_backup(real, tmp_path / "lite", as_name="back")
        assert back.adapted == ()
        assert await contents(real, "back") == held
        assert (await collections.describe(real, "back")).indexes == {"embedding": "FLAT"}


async def test_the_mirror_of_a_laptop_is_that_of_a_server_when_restored_there(
    real_milvus: Milvus, lite: Connection, folder: Path
) -> None:
    spec, revision = rows.spec(16), load_chain().head
    said = properties_of(revision, spec, FLAT, BuildState.COMPLETE)
    await collections.create(lite, NAME, spec, said)
    await collections.ensure_indexes(lite, NAME, spec, FLAT)
    await entity_store.upsert(lite, NAME, rows.entities(vectors(50)))
    await write_backup(lite, NAME, folder)
    async with await open_milvus(MilvusSettings(uri=real_milvus.uri)) as real:
        result = await restore_backup(real, folder)
        await collections.check_indexes(real, NAME, spec, FLAT)
        found = await collections.describe(real, NAME)
        assert schema_differences(found, spec, counts_shards=True) == []
        assert found.properties == said
        assert "the field user_id has an index Trie on Milvus v2.3.5-lite; it had none on milvus_lite-3.2.2" in (
            result.adapted
        )
        # And back: what it says of its vector index is what it has.
        await remove_collection(lite)
        await collections.set_properties(real, NAME, {"memstore.vector_index": "HNSW"})
        await write_backup(real, NAME, folder.parent / "back")
        await restore_backup(lite, folder.parent / "back")
        assert (await collections.describe(lite, NAME)).properties == said


async def test_null_is_refused_where_the_server_has_none(real_milvus: Milvus, lite: Connection, folder: Path) -> None:
    def make(client: MilvusClient) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, max_length=36, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=2)
        schema.add_field("word", DataType.VARCHAR, max_length=9, nullable=True)
        client.create_collection("plain", schema=schema, timeout=30)

    await lite.write(make)
    await write_backup(lite, "plain", folder)
    async with await open_milvus(MilvusSettings(uri=real_milvus.uri)) as real:
        with pytest.raises(BackupError, match="word may be null, and Milvus v2.3.5-lite has no null"):
            await restore_backup(real, folder)
        assert await collections.names(real) == []
