from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pymilvus import DataType, MilvusClient

from memstore.errors import BackupError, SettingsError
from memstore.milvus import (
    BackupProgress,
    MilvusSettings,
    collections,
    entity_store,
    open_milvus,
    restore_backup,
    write_backup,
)
from memstore.milvus import Milvus as Connection
from tests.milvus.saved import (
    ALIAS,
    NAME,
    SPEC,
    contents,
    definition,
    entities,
    everything,
    exactly,
    files_of,
    make_collection,
    remove_collection,
)
from tests.milvus.servers import Milvus
from tests.support import run_python


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


async def test_what_was_dropped_comes_back_equal_to_the_byte(connection: Connection, folder: Path) -> None:
    await make_collection(connection, 2_300)
    before, rows = await definition(connection, NAME), await contents(connection, NAME)
    assert rows == {each["id"]: exactly(each) for each in entities(2_300)}
    await write_backup(connection, ALIAS, folder, rows_per_file=1_000)
    await remove_collection(connection)
    result = await restore_backup(connection, folder)
    assert (result.name, result.aliases, result.rows, result.adapted) == (NAME, (ALIAS,), 2_300, ())
    assert not result.replaced
    assert await definition(connection, NAME) == before
    assert await contents(connection, NAME) == rows
    assert await collections.target_of(connection, ALIAS) == NAME
    found = await entity_store.search(
        connection, ALIAS, entities(9)[8]["embedding"], "", limit=1, params={}, fields=[], consistency="Strong"
    )
    assert found[0][1]["id"] == "00000008"


async def test_under_another_name_it_is_a_copy_without_aliases(connection: Connection, folder: Path) -> None:
    await make_collection(connection, 100)
    await write_backup(connection, NAME, folder)
    before = await everything(connection)
    result = await restore_backup(connection, folder, as_name="_copy_2")
    assert (result.name, result.aliases, result.rows) == ("_copy_2", (), 100)
    after = await everything(connection)
    made, aliases, count = after.pop("_copy_2")
    assert (made, aliases, count) == (before[NAME][0], [], 100)
    assert after == before
    assert await contents(connection, "_copy_2") == await contents(connection, NAME)


async def test_an_empty_collection_comes_back(lite: Connection, folder: Path) -> None:
    await make_collection(lite, 0)
    before = await everything(lite)
    await write_backup(lite, NAME, folder)
    assert list(files_of(folder)) == ["manifest.json"]
    await remove_collection(lite)
    assert (await restore_backup(lite, folder)).rows == 0
    assert await everything(lite) == before


async def test_one_without_dynamic_fields_and_with_null_comes_back(lite: Connection, folder: Path) -> None:
    def make(client: MilvusClient) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, max_length=36, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=2)
        schema.add_field("word", DataType.VARCHAR, max_length=9, nullable=True)
        schema.add_field("number", DataType.INT64, nullable=True)
        client.create_collection("plain", schema=schema, timeout=30)

    rows = [
        {"id": str(n), "embedding": [n, 1.0], "word": ("", None)[n % 2], "number": (None, 0)[n % 2]} for n in (1, 2)
    ]
    await lite.write(make)
    await entity_store.upsert(lite, "plain", rows)
    await write_backup(lite, "plain", folder)
    await restore_backup(lite, folder, as_name="again")
    pages = [page async for page in entity_store.scan(lite, "again", ["*"])]
    assert [dict(row) for row in pages[0]] == rows
    assert await definition(lite, "again") == await definition(lite, "plain")


async def test_a_name_that_is_taken_is_refused(lite: Connection, folder: Path) -> None:
    await make_collection(lite, 5)
    await write_backup(lite, NAME, folder)
    before = await everything(lite)
    again = f"memstore milvus restore {folder} --as NAME"
    for as_name in (None, NAME):
        with pytest.raises(BackupError, match=f"there is a collection {NAME} in Milvus, and it stays. .*: {again}"):
            await restore_backup(lite, folder, as_name=as_name)
    with pytest.raises(BackupError, match=f"{ALIAS} is an alias of {NAME} in Milvus. .*: {again}"):
        await restore_backup(lite, folder, as_name=ALIAS)
    assert await everything(lite) == before


@pytest.mark.parametrize("name", ["", "bad-name", "1st", "größe", "a" * 256, "two words", "x;y", "name\n"])
async def test_a_name_that_servers_do_not_take_is_refused(lite: Connection, folder: Path, name: str) -> None:
    await make_collection(lite, 1)
    await write_backup(lite, NAME, folder)
    with pytest.raises(SettingsError, match="Needed: letters, digits and underscores, no digit first"):
        await restore_backup(lite, folder, as_name=name)
    assert await collections.names(lite) == [NAME]


async def test_an_alias_that_leads_elsewhere_stays(lite: Connection, folder: Path) -> None:
    await make_collection(lite, 5)
    await write_backup(lite, NAME, folder)
    await remove_collection(lite)
    await make_collection(lite, 3, name="newer")
    before = await everything(lite)
    with pytest.raises(BackupError, match=f"the alias {ALIAS} of the backup leads to newer in Milvus, and stays"):
        await restore_backup(lite, folder)
    assert await everything(lite) == before
    await remove_collection(lite, "newer")
    await make_collection(lite, 3, name=ALIAS, alias=None)
    with pytest.raises(BackupError, match=f"has an alias {ALIAS}, which is a collection in Milvus"):
        await restore_backup(lite, folder)
    assert await collections.names(lite) == [ALIAS]


async def test_a_restore_that_fails_half_way_leaves_nothing(lite: Connection, folder: Path) -> None:
    await make_collection(lite, 2_500)
    await write_backup(lite, NAME, folder, rows_per_file=1_000)
    await remove_collection(lite)
    with pytest.raises(ZeroDivisionError):
        await restore_backup(lite, folder, on_progress=_at("write", 1_000, lambda: 1 // 0))
    assert await everything(lite) == {}
    running = asyncio.ensure_future(
        restore_backup(lite, folder, on_progress=_at("verify", 1_000, lambda: running.cancel()))
    )
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await everything(lite) == {}
    assert await collections.target_of(lite, ALIAS) is None
    assert (await restore_backup(lite, folder)).rows == 2_500


async def test_an_entity_that_did_not_arrive_is_noticed(lite_milvus: Milvus, lite: Connection, folder: Path) -> None:
    await make_collection(lite, 200)
    await write_backup(lite, NAME, folder)
    await remove_collection(lite)
    client = MilvusClient(lite_milvus.uri)

    def lose() -> None:
        client.delete(NAME, filter='id == "00000007"', timeout=30)

    def replace() -> None:
        lose()
        client.upsert(NAME, [{**entities(1)[0], "id": "another"}], timeout=30)

    with pytest.raises(BackupError, match="has 199 entities after the restore, and the backup 200"):
        await restore_backup(lite, folder, on_progress=_at("write", 200, lose))
    with pytest.raises(BackupError, match="lacks 1 entities after the restore, the first '00000007'"):
        await restore_backup(lite, folder, on_progress=_at("write", 200, replace))
    assert await collections.names(lite) == []
    client.close()


KILLED = """
import asyncio, os, signal, sys
from memstore.milvus import MilvusSettings, open_milvus, restore_backup

def at_half(progress):
    if progress.phase == "write" and progress.done >= 1_000:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with await open_milvus(MilvusSettings(uri=sys.argv[1])) as milvus:
        await restore_backup(milvus, sys.argv[2], on_progress=at_half)

asyncio.run(main())
"""


async def test_what_a_killed_restore_left_is_replaced_by_the_next(milvus: Milvus, folder: Path) -> None:
    async with await open_milvus(MilvusSettings(uri=milvus.uri)) as connection:
        await make_collection(connection, 2_500)
        rows = await contents(connection, NAME)
        await write_backup(connection, NAME, folder, rows_per_file=1_000)
        await remove_collection(connection)
    killed = await asyncio.to_thread(run_python, "-c", KILLED, milvus.uri, str(folder))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    async with await open_milvus(MilvusSettings(uri=milvus.uri)) as connection:
        left = await collections.describe(connection, NAME)
        assert left.properties["memstore.state"] == "restoring"
        assert await collections.target_of(connection, ALIAS) is None
        with pytest.raises(BackupError, match=f"{NAME} is what a restore has not finished. Restore it first"):
            await write_backup(connection, NAME, folder.parent / "other")
        result = await restore_backup(connection, folder)
        assert (result.replaced, result.rows, result.aliases) == (True, 2_500, (ALIAS,))
        assert await contents(connection, NAME) == rows
        found = await collections.describe(connection, NAME)
        assert found.properties["memstore.state"] == "active"


async def test_one_killed_after_its_aliases_is_replaced_too_unless_others_lead_to_it(
    lite: Connection, folder: Path
) -> None:
    await make_collection(lite, 10)
    await write_backup(lite, NAME, folder)
    await collections.set_properties(lite, NAME, {"memstore.state": "restoring"})
    await collections.point(lite, "another", NAME)
    before = await everything(lite)
    with pytest.raises(BackupError, match="and another leads to it. Lead readers elsewhere first"):
        await restore_backup(lite, folder)
    assert await everything(lite) == before
    await collections.remove_alias(lite, "another")
    assert (await restore_backup(lite, folder)).replaced
    assert await collections.aliases_of(lite, NAME) == [ALIAS]
    assert len(await contents(lite, NAME)) == 10


async def test_a_collection_that_had_no_state_has_none_again(lite: Connection, folder: Path) -> None:
    await collections.create(lite, NAME, SPEC, {"colour": "blue"})
    await write_backup(lite, NAME, folder)
    await restore_backup(lite, folder, as_name="copy")
    assert (await collections.describe(lite, "copy")).properties == {"colour": "blue"}


def _at(phase: str, done: int, work: Callable[[], object]) -> Callable[[BackupProgress], None]:
    def on_progress(progress: BackupProgress) -> None:
        if progress.phase == phase and progress.done >= done:
            work()

    return on_progress
