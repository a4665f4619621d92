from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.store import NewUser, create_user
from memstore.transfer import import_corpus
from tests.conftest import CreateDatabase
from tests.support import LOCOMO, ROOT, raw_dsn
from tests.transfer.corpora import NODES
from tests.transfer.source import assert_equal_to_source

CORPUS = LOCOMO if LOCOMO.is_dir() else ROOT / "examples"


async def test_two_users_import_the_same_conversations(create_database: CreateDatabase) -> None:
    await import_for_two_users(create_database(384), CORPUS)


async def test_a_killed_import_is_finished_by_another(create_database: CreateDatabase) -> None:
    await kill_and_finish(create_database(384), CORPUS, random.Random(2), kills=3)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(10))
async def test_a_killed_import_is_finished_again(create_database: CreateDatabase, locomo: Path, seed: int) -> None:
    await kill_and_finish(create_database(384), locomo, random.Random(seed), kills=5)


async def import_for_two_users(url: URL, folder: Path) -> None:
    engine = create_engine(url)
    nodes = len(json.loads((folder / NODES).read_bytes()))
    for email in ("ines@example.com", "rui@example.com"):
        user_id, tenant_id = await create_user(engine, NewUser(email))
        first = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
        again = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
        assert (first.read, first.inserted, first.already_there, first.renamed) == (nodes, nodes, 0, 0)
        assert (again.read, again.inserted, again.already_there, again.renamed) == (nodes, 0, nodes, 0)
        await assert_equal_to_source(engine, folder, tenant_id, user_id)
    await engine.dispose()


async def kill_and_finish(url: URL, folder: Path, chance: random.Random, kills: int) -> None:
    """Kill an import `kills` times, each further on than the last, and run it to its end."""
    engine = create_engine(url)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    dry = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id, dry_run=True)
    # Within the first half: an import that is nearly done can be faster than the kill.
    for threshold in sorted(chance.sample(range(dry.inserted // 2), kills)):
        left = await kill_when_written(engine, url, folder, user_id, threshold)
        assert left < dry.read
    before = await written(engine)
    last = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
    assert (last.inserted, last.already_there) == (dry.read - before, before)
    await assert_equal_to_source(engine, folder, tenant_id, user_id)
    await engine.dispose()


async def kill_when_written(engine: AsyncEngine, url: URL, folder: Path, user_id: UUID, threshold: int) -> int:
    command = [sys.executable, "-m", "memstore", "import", "corpus", str(folder)]
    importer = subprocess.Popen(
        [*command, "--user-id", str(user_id), "--batch-size", "5"],
        env=os.environ | {"DATABASE_URL": raw_dsn(url)},
        stdout=subprocess.DEVNULL,
    )
    while await written(engine) <= threshold:
        assert importer.poll() is None
        await asyncio.sleep(0.001)
    importer.kill()
    importer.wait()
    return await written(engine)


async def written(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        count: int = (await connection.scalars(text("SELECT count(*) FROM memstore.memory_nodes"))).one()
        return count
