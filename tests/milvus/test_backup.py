from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from pymilvus import DataType, MilvusClient

import memstore
from memstore.errors import BackupError, SettingsError
from memstore.milvus import (
    BackupProgress,
    entity_store,
    restore_backup,
    write_backup,
)
from memstore.milvus import Milvus as Connection
from tests.milvus.saved import (
    ALIAS,
    NAME,
    PROPERTIES,
    WIDTH,
    contents,
    entities,
    exactly,
    files_of,
    make_collection,
    manifest_of,
)
from tests.support import run_python


async def test_files_hold_every_entity_typed_by_its_kind_and_to_the_byte(
    connection: Connection, tmp_path: Path
) -> None:
    await make_collection(connection, 2_500)
    result = await write_backup(connection, ALIAS, tmp_path / "backup", rows_per_file=1_100)
    files = sorted((tmp_path / "backup").glob("*.parquet"))
    table = pa.concat_tables([parquet.read_table(each) for each in files])
    assert [each.name for each in files] == ["rows-00001.parquet", "rows-00002.parquet", "rows-00003.parquet"]
    assert [parquet.read_metadata(each).num_rows for each in files] == [1_100, 1_100, 300]
    assert {each.name: str(each.type) for each in table.schema} == {
        "id": "string",
        "org_id": "string",
        "word": "string",
        "embedding": f"fixed_size_list<element: float>[{WIDTH}]",
        "importance": "int8",
        "count": "int32",
        "created_at": "int64",
        "decay": "float",
        "is_deleted": "bool",
        "$meta": "string",
    }
    wanted = {each["id"]: exactly(each) for each in entities(2_500)}
    assert {each["id"]: exactly(_entity(each)) for each in table.to_pylist()} == wanted
    assert (result.rows, result.rows_before, result.rows_after, result.files) == (2_500, 2_500, 2_500, 3)


async def test_the_manifest_says_what_the_collection_was(connection: Connection, tmp_path: Path) -> None:
    await make_collection(connection, 10)
    folder = tmp_path / "backup"
    result = await write_backup(connection, NAME, folder)
    said = manifest_of(folder)
    on_lite = connection.capabilities.engine == "lite"
    assert (said["format"], said["memstore"], said["name"], said["aliases"]) == (
        1, memstore.__version__, NAME, [ALIAS]
    )  # fmt: skip
    assert said["server"] == connection.capabilities.said
    assert (said["rows"], said["rows_before"], said["rows_after"]) == (10, 10, 10)
    made = said["collection"]
    assert [each["name"] for each in made["fields"] if each["is_primary"]] == ["id"]
    assert [each["name"] for each in made["fields"] if each["is_partition_key"]] == ["org_id"]
    assert {each["name"]: each["length"] for each in made["fields"] if each["length"]} == {
        "id": 36, "org_id": 36, "word": 400, "embedding": WIDTH
    }  # fmt: skip
    assert (made["is_dynamic"], made["shards"], made["properties"]) == (True, None if on_lite else 2, PROPERTIES)
    indexes = {each["field"]: (each["type"], each["metric"], each["build"]) for each in made["indexes"]}
    assert indexes == (
        {"embedding": ("FLAT", "COSINE", {})}
        if on_lite
        else {
            "embedding": ("HNSW", "COSINE", {"M": 16, "efConstruction": 200}),
            "importance": ("STL_SORT", None, {}),
            "word": ("Trie", None, {}),
        }
    )
    file = said["files"][0]
    content = (folder / "rows-00001.parquet").read_bytes()
    assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert result.bytes == len(content)


async def test_a_backup_can_be_read_by_its_owner_only(lite: Connection, tmp_path: Path) -> None:
    await make_collection(lite, 10)
    folder = tmp_path / "backup"
    folder.mkdir(mode=0o755)
    await write_backup(lite, NAME, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()} == {
        "manifest.json": 0o600,
        "rows-00001.parquet": 0o600,
    }


async def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(lite: Connection, tmp_path: Path) -> None:
    await make_collection(lite, 10)
    folder = tmp_path / "backup"
    await write_backup(lite, NAME, folder)
    before = files_of(folder)
    with pytest.raises(BackupError, match="not empty. Name a new folder"):
        await write_backup(lite, NAME, folder)
    assert files_of(folder) == before
    with pytest.raises(BackupError, match="Name a new folder"):
        await write_backup(lite, NAME, folder / "manifest.json")


async def test_what_is_not_there_is_refused(lite: Connection, tmp_path: Path) -> None:
    await make_collection(lite, 1)
    with pytest.raises(BackupError, match=f"no collection or alias 'nobody' in Milvus. There are: {NAME}"):
        await write_backup(lite, "nobody", tmp_path / "backup")
    with pytest.raises(SettingsError, match="the rows per file are 0"):
        await write_backup(lite, NAME, tmp_path / "backup", rows_per_file=0)
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize(
    ("field", "more", "what"),
    [
        ({"field_name": "extra", "datatype": DataType.JSON}, {}, "a field extra of type JSON"),
        ({"field_name": "extra", "datatype": DataType.DOUBLE}, {}, "a field extra of type DOUBLE"),
        ({"field_name": "extra", "datatype": DataType.INT64, "default_value": 3}, {}, "a default for extra"),
        ({"field_name": "extra", "datatype": DataType.BOOL}, {"primary": "key"}, "no VARCHAR 'id' for its primary key"),
    ],
)
async def test_a_collection_that_would_not_be_kept_whole_is_refused(
    lite: Connection, tmp_path: Path, field: dict[str, Any], more: dict[str, str], what: str
) -> None:
    def make(client: MilvusClient) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field(more.get("primary", "id"), DataType.VARCHAR, max_length=36, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=WIDTH)
        schema.add_field(**field)
        client.create_collection("theirs", schema=schema, timeout=30)

    await lite.write(make)
    with pytest.raises(BackupError, match=f"theirs has {what}, which a backup of memstore would lose"):
        await write_backup(lite, "theirs", tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


async def test_partitions_of_its_own_are_refused(lite: Connection, tmp_path: Path) -> None:
    def make(client: MilvusClient) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, max_length=36, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=WIDTH)
        client.create_collection("theirs", schema=schema, timeout=30)
        client.create_partition("theirs", "drawer", timeout=30)

    await lite.write(make)
    with pytest.raises(BackupError, match="theirs has partitions of its own: drawer"):
        await write_backup(lite, "theirs", tmp_path / "backup")


async def test_ids_of_any_text_are_read_on_from(connection: Connection, tmp_path: Path) -> None:
    ids = ['x" or id != "', "\\", 'a"b', "two\nlines", "it's", "漢字", "", "~"]
    await make_collection(connection, 0)
    await entity_store.upsert(connection, NAME, [{**entities(1)[0], "id": each} for each in ids])
    pages = [page async for page in entity_store.scan(connection, NAME, ["id"], batch=1)]
    assert sorted(row["id"] for page in pages for row in page) == sorted(ids)
    await write_backup(connection, NAME, tmp_path / "backup")
    await restore_backup(connection, tmp_path / "backup", as_name="copy")
    assert await contents(connection, "copy") == await contents(connection, NAME)


async def test_what_was_written_just_now_is_read(connection: Connection) -> None:
    for number in range(2):
        await make_collection(connection, 300, name=f"fresh_{number}", alias=None)
        assert len(await contents(connection, f"fresh_{number}")) == 300


async def test_what_is_written_meanwhile_is_counted_and_no_error(connection: Connection, tmp_path: Path) -> None:
    await make_collection(connection, 3_000)
    new = [{**each, "id": f"x{each['id']}"} for each in entities(200)]
    writes: list[asyncio.Task[None]] = []

    def write_at_once(_: BackupProgress) -> None:
        if not writes:
            writes.append(asyncio.ensure_future(entity_store.upsert(connection, NAME, new)))

    result = await write_backup(connection, NAME, tmp_path / "backup", on_progress=write_at_once)
    await asyncio.gather(*writes)
    said = manifest_of(tmp_path / "backup")
    assert (said["rows_before"], said["rows_after"]) == (3_000, 3_200) == (result.rows_before, result.rows_after)
    assert 3_000 <= said["rows"] <= 3_200
    restored = await restore_backup(connection, tmp_path / "backup", as_name="restored")
    assert restored.rows == said["rows"] == await entity_store.count(connection, "restored")


def test_without_pyarrow_it_is_said_what_to_install() -> None:
    script = (
        "import asyncio, sys; import memstore.milvus.restore as r, memstore.milvus.backup as b; "
        "assert not {'pyarrow', 'pymilvus'} & set(sys.modules); sys.modules['pyarrow'] = None\n"
        "for work in (b.write_backup(None, 'x', 'y'), r.restore_backup(None, 'y')):\n"
        "    try: asyncio.run(work)\n"
        "    except Exception as error: print(type(error).__name__, error)"
    )
    told = run_python("-c", script)
    assert told.stdout.splitlines() == [
        "MissingPackageError a backup of Milvus needs the extra 'milvus-backup'. "
        "Run: pip install 'memstore[milvus-backup]'"
    ] * 2, told.stderr  # fmt: skip


def _entity(row: dict[str, Any]) -> dict[str, Any]:
    others = json.loads(row.pop("$meta"))
    return {**row, **others, "embedding": np.asarray(row["embedding"], np.float32)}
