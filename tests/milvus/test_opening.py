from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path

import pytest

from memstore.errors import MilvusUnreachableError
from memstore.milvus import MilvusSettings, collections, open_milvus


async def test_a_folder_that_somebody_has_open_can_be_shared_on_this_machine_only(tmp_path: Path) -> None:
    """By itself milvus-lite server listens on all interfaces, for anybody."""
    folder = tmp_path / "milvus.db"
    folder.mkdir()
    with (folder / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MilvusUnreachableError, match="milvus-lite server .* --host 127.0.0.1 --port 19530"):
            await open_milvus(MilvusSettings(uri=str(folder)))


async def test_a_process_opens_and_closes_a_folder_at_several_places_at_once(tmp_path: Path) -> None:
    settings = MilvusSettings(uri=str(tmp_path / "milvus.db"))

    async def use(turns: int) -> None:
        for _ in range(turns):
            async with await open_milvus(settings) as milvus:
                assert await collections.names(milvus) == []

    await asyncio.gather(*(use(turns) for turns in (1, 2, 3, 4)))
