from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memstore.store.files import FileStore
from memstore.transfer.corpus import open_corpus
from tests.store.files.corpora import TENANT, generations_of, memory, nodes_of, vectors_of
from tests.support import ROOT
from tests.transfer.corpora import write_corpus

# Adds memories from several callers at once and says which are kept, one id a line.
WRITER = f"""
import asyncio, sys
from memstore.store import MemoryChange, NewMemory
from memstore.store.files import FileStore

async def write(scope, name):
    for n in range(int(sys.argv[3])):
        kept = await scope.add(NewMemory(id=f"{{name}}-{{n}}", content="x" * 2000, embedding=[1.0, n, 0.0, -n]))
        await scope.update(kept.id, MemoryChange(importance=9), version=1)
        print(kept.id, flush=True)

async def main():
    async with FileStore(sys.argv[1]) as store:
        await asyncio.gather(*(write(store.scope("{TENANT}"), f"{{sys.argv[2]}}-{{n}}") for n in range(4)))

asyncio.run(main())
"""


def start(root: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(root), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def test_a_killed_writer_leaves_all_that_it_said_was_kept(tmp_path: Path) -> None:
    await kill_writers(tmp_path, random.Random(5), kills=3)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_many_killed_writers_leave_all_that_they_said_was_kept(tmp_path: Path) -> None:
    await kill_writers(tmp_path, random.Random(), kills=50)


async def kill_writers(root: Path, chance: random.Random, kills: int) -> None:
    write_corpus(root / str(TENANT))  # the first of them takes it over
    kept = {f"mem_{n:016x}" for n in range(5)}
    for kill in range(kills):
        writer = start(root, str(kill), 100_000)
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 30)):
            kept.add(writer.stdout.readline().strip())
        await asyncio.sleep(chance.random() / 50)  # any moment of a write
        writer.kill()
        kept.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        writer.wait()
        writer.stdout.close()
        assert_sound(root, kept)
        async with FileStore(root) as store:
            await store.scope(TENANT).record_access("mem_0000000000000000")
        assert len(generations_of(root)) == 1  # what the killed one was at is gone


def assert_sound(root: Path, kept: set[str]) -> None:
    """The two files are of one generation, and whole."""
    corpus = open_corpus(root / str(TENANT))
    nodes = nodes_of(root)
    assert len(corpus) == len(nodes) == len(vectors_of(root))
    assert kept <= {node["id"] for node in nodes}
    for node, vector in zip(nodes, vectors_of(root), strict=True):
        if "-" in node["id"]:
            n = int(node["id"].rpartition("-")[2])
            assert vector.tolist() == [1.0, n, 0.0, -n]


async def test_processes_that_write_at_once_lose_nothing_and_readers_see_whole_corpora(tmp_path: Path) -> None:
    writers = [start(tmp_path, name, 10) for name in ("a", "b")]
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        seen = 0
        while any(writer.poll() is None for writer in writers):
            page = await scope.list(limit=1_000, with_embedding=True)
            for each in page:
                assert each.embedding is not None
                n = int(each.id.rpartition("-")[2])
                assert np.array_equal(each.embedding, [1.0, n, 0.0, -n])
            assert len(page) >= seen
            seen = len(page)
            if (tmp_path / str(TENANT)).exists():
                assert len(open_corpus(tmp_path / str(TENANT))) >= seen
            await scope.add_many([memory(seen, id=f"c-{seen}")], skip_existing=True)
    for writer in writers:
        output, _ = writer.communicate()
        assert writer.returncode == 0
        assert set(output.split()) <= {node["id"] for node in nodes_of(tmp_path)}
        assert len(output.split()) == 40
