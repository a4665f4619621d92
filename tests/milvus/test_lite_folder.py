from __future__ import annotations

from pathlib import Path

import pytest

from memstore.errors import MilvusRefusedError
from memstore.milvus import MilvusSettings, entity_store, open_milvus, restore_backup, write_backup
from memstore.milvus import collections as ours
from tests.milvus.lite_server import LiteServer
from tests.milvus.rows import entities, spec
from tests.milvus.saved import NAME as SAVED
from tests.milvus.saved import make_collection
from tests.milvus.worlds import vectors

NAME = "memories_unified__0001"


async def leave_remains(folder: Path) -> Path:
    """Leave what a Milvus Lite leaves that is killed while it drops a collection."""
    async with await open_milvus(MilvusSettings(uri=str(folder))) as milvus:
        await ours.create(milvus, NAME, spec(8), {})
        await entity_store.upsert(milvus, NAME, entities(vectors(3, dim=8)))
    schema = folder / "collections" / NAME / "schema.json"
    schema.unlink()
    return schema.parent


async def test_what_is_left_of_a_collection_is_not_in_the_way_of_another(tmp_path: Path) -> None:
    remains = await leave_remains(tmp_path / "milvus.db")
    async with await open_milvus(MilvusSettings(uri=str(tmp_path / "milvus.db"))) as milvus:
        assert await ours.names(milvus) == []
        assert list(remains.iterdir()) != []
        await ours.create(milvus, NAME, spec(8), {})
        await ours.ensure_indexes(milvus, NAME, spec(8), milvus.capabilities.default_index)
        assert await entity_store.count(milvus, NAME) == 0


async def test_nor_of_one_that_is_restored(tmp_path: Path) -> None:
    folder = tmp_path / "milvus.db"
    async with await open_milvus(MilvusSettings(uri=str(folder))) as milvus:
        await make_collection(milvus, 5)
        await write_backup(milvus, SAVED, tmp_path / "backup")
        (folder / "collections" / "again").mkdir()
        assert (await restore_backup(milvus, tmp_path / "backup", as_name="again")).rows == 5


async def test_a_collection_that_is_whole_stays(tmp_path: Path) -> None:
    async with await open_milvus(MilvusSettings(uri=str(tmp_path / "milvus.db"))) as milvus:
        await ours.create(milvus, NAME, spec(8), {})
        with pytest.raises(MilvusRefusedError, match="already exists"):
            await ours.create(milvus, NAME, spec(8), {})
        assert await ours.names(milvus) == [NAME]


async def test_what_is_left_in_the_folder_of_a_server_is_said_to_be_in_the_way(tmp_path: Path) -> None:
    server = LiteServer(tmp_path)
    try:
        server.start()
        (tmp_path / "data" / "collections" / NAME).mkdir()
        async with await open_milvus(MilvusSettings(uri=server.uri)) as milvus:
            with pytest.raises(MilvusRefusedError, match=f"collections/{NAME}.*killed left it: remove that folder"):
                await ours.create(milvus, NAME, spec(8), {})
    finally:
        server.kill()
