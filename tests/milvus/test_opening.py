from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from memstore.errors import MilvusUnreachableError
from memstore.milvus import MilvusSettings, open_milvus


async def test_a_folder_that_somebody_has_open_can_be_shared_on_this_machine_only(tmp_path: Path) -> None:
    """By itself milvus-lite server listens on all interfaces, for anybody."""
    folder = tmp_path / "milvus.db"
    folder.mkdir()
    with (folder / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MilvusUnreachableError, match="milvus-lite server .* --host 127.0.0.1 --port 19530"):
            await open_milvus(MilvusSettings(uri=str(folder)))
