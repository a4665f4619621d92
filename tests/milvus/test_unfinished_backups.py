from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memstore.errors import BackupError
from memstore.milvus import BackupProgress, MilvusSettings, collections, open_milvus, restore_backup, write_backup
from memstore.milvus import Milvus as Connection
from memstore.milvus.manifest import begin_manifest
from tests.milvus.saved import NAME, contents, make_collection
from tests.milvus.servers import Milvus
from tests.support import run_python


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_backup_that_fails_leaves_no_file(lite: Connection, tmp_path: Path, is_new: bool) -> None:
    await make_collection(lite, 3_000)
    folder = tmp_path / "backup"
    if not is_new:
        folder.mkdir()

    with pytest.raises(ZeroDivisionError):
        await write_backup(lite, NAME, folder, rows_per_file=500, on_progress=_at(2_000, lambda: 1 // 0))
    assert folder.exists() is not is_new
    assert is_new or not list(folder.iterdir())


async def test_of_two_backups_into_one_folder_the_first_is_left_alone(lite: Connection, tmp_path: Path) -> None:
    await make_collection(lite, 200)
    folder = tmp_path / "backup"
    backups = [write_backup(lite, NAME, folder, rows_per_file=10) for _ in range(3)]
    results = await asyncio.gather(*backups, return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert len(refused) == 2
    assert all(isinstance(each, BackupError) and "is not empty" in str(each) for each in refused)
    assert (await restore_backup(lite, folder, as_name="again")).rows == 200
    begin_manifest(tmp_path)
    with pytest.raises(FileExistsError):
        begin_manifest(tmp_path)


async def test_a_backup_that_is_cancelled_leaves_no_file(lite: Connection, tmp_path: Path) -> None:
    await make_collection(lite, 200)
    folder = tmp_path / "backup"
    running = asyncio.ensure_future(write_backup(lite, NAME, folder, rows_per_file=1))
    while not (folder / "rows-00020.parquet").exists():
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not folder.exists()


async def test_a_disk_that_is_full_is_said_and_leaves_no_file(lite: Connection, tmp_path: Path) -> None:
    await make_collection(lite, 3_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    full = _at(1_000, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1])))
    try:
        with pytest.raises(BackupError, match="backup cannot be written: .*File too large.*Name another folder"):
            await write_backup(lite, NAME, tmp_path / "backup", on_progress=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (tmp_path / "backup").exists()


KILLED = """
import asyncio, os, signal, sys
from memstore.milvus import MilvusSettings, open_milvus
from memstore.milvus.backup import write_backup

def at_half(progress):
    if progress.done >= 2_000:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with await open_milvus(MilvusSettings(uri=sys.argv[1])) as milvus:
        await write_backup(milvus, "memories", sys.argv[2], rows_per_file=500, on_progress=at_half)

asyncio.run(main())
"""


async def test_a_backup_that_was_killed_is_no_backup(lite_milvus: Milvus, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    async with await open_milvus(MilvusSettings(uri=lite_milvus.uri)) as connection:
        await make_collection(connection, 3_000)
    killed = await asyncio.to_thread(run_python, "-c", KILLED, lite_milvus.uri, str(folder))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(each.name for each in folder.glob("rows*"))[:3] == [f"rows-{n:05}.parquet" for n in (1, 2, 3)]
    async with await open_milvus(MilvusSettings(uri=lite_milvus.uri)) as connection:
        with pytest.raises(
            BackupError, match=r"has no manifest.json: .* not finished. Write another, into a new folder"
        ):
            await restore_backup(connection, folder, as_name="restored")
        with pytest.raises(BackupError, match="not empty"):
            await write_backup(connection, NAME, folder)
        assert await collections.names(connection) == [NAME]
        assert len(await contents(connection, NAME)) == 3_000


def _at(done: int, work: Callable[[], Any]) -> Callable[[BackupProgress], None]:
    def on_progress(progress: BackupProgress) -> None:
        if progress.done >= done:
            work()

    return on_progress
