"""A collection that another process drops, and makes anew with other fields under its name, behind a relay."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memstore.milvus import SyncOptions, sync
from memstore.milvus.revisions import VERSIONS, load_chain
from tests.milvus.lite_server import LiteServer
from tests.milvus.servers import Milvus
from tests.milvus.worlds import World, vectors
from tests.support import ROOT, raw_dsn

FIRST = "0001_unified_memory"


@pytest.fixture(params=["lite", "real"])
def milvus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Milvus]:
    """A Milvus that processes share."""
    if request.param == "real":
        yield request.getfixturevalue("real_milvus")
        return
    server = LiteServer(tmp_path)
    try:
        server.start()
        yield Milvus("lite", server.uri)
    finally:
        server.kill()


async def test_a_relay_writes_to_a_collection_that_was_made_anew(world: World, tmp_path: Path) -> None:
    await world.add(vectors(5))
    await world.follow()
    await world.add(vectors(5, seed=2), first=5)
    await world.sync()  # by now pymilvus knows the fields
    versions = tmp_path / "versions"
    versions.mkdir()
    wider = (VERSIONS / f"{FIRST}.py").read_text().replace(
        'Field("version",', 'text("agent_id", "agent_id", UUID),\n            Field("version",')  # fmt: skip
    (versions / f"{FIRST}.py").write_text(wider)
    world.chain = load_chain(versions)
    for command in (("down", "base"), ("prune",), ("up", "0001")):
        run = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.milvus.dying", str(versions), "before", "1000", *command],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": raw_dsn(world.url), "MILVUS_URI": world.settings.uri},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
    await world.add(vectors(5, seed=3), first=10)
    done = await sync(world.engine, world.milvus, SyncOptions(batch_size=3), chain=world.chain)
    assert (done.entries, done.upserted, done.rejected, done.left) == (5, 5, 0, 0)
    compared = await world.compare(FIRST)
    assert (compared.entities, compared.found) == (15, 0)
