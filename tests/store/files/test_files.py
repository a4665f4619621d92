from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from memstore.errors import (
    CorpusError,
    MemoryExistsError,
    StoreBusyError,
    StoreClosedError,
    StoreFilesError,
    VectorError,
)
from memstore.store import Filters, MemoryChange, NewMemory
from memstore.store.files import FileStore
from memstore.store.files.generations import Generations
from memstore.store.files.lock import locked
from memstore.store.files.words import Words
from memstore.transfer.corpus import check_corpus, open_corpus
from memstore.transfer.decoding import COLUMNS
from tests.store.files.corpora import TENANT, generations_of, memory, nodes_of, vectors_of
from tests.transfer.corpora import NODES, VECTORS, digests, make_nodes, make_vectors, write_corpus

KEYS = make_nodes(1)[0].keys()

# What a node of a corpus that was made elsewhere may not hold.
BROKEN: dict[str, Any] = {
    "urgency": "soon",
    "created_at": "yesterday",
    "technical_depth": 11,
    "human_content": None,
    "access_count": -1,
    "tags": ["git"],
    "id": "mem_0000000000000000",
}

# What a node of a store may not hold, nor be read by any later search.
WRONG_TYPES: dict[str, Any] = {
    "content": 5,
    "importance": "9",
    "version": True,
    "tags": None,
    "metadata": [],
    "has_code": 1,
    "cluster_confidence": "high",
}


async def test_any_tool_can_read_what_is_kept(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1, created_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC), metadata={"é": [1, None]}))
        await scope.add(memory(2, embedding=None))
    first, second = nodes_of(tmp_path)
    assert first.keys() > KEYS
    assert first["created_at"] == "2026-03-01T09:30:00+00:00"
    assert (first["metadata"], first["has_embedding"], second["has_embedding"]) == ({"é": [1, None]}, True, False)
    assert vectors_of(tmp_path).tolist() == [[1, 1, 0, -1], [0, 0, 0, 0]]
    assert vectors_of(tmp_path).dtype == np.float32
    corpus = open_corpus(tmp_path / str(TENANT))
    assert len(corpus) == 2
    assert corpus.folder == tmp_path / ".generations" / str(TENANT) / "2"  # both files are of one generation


async def test_another_store_sees_what_one_wrote_at_once(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as one, FileStore(tmp_path) as other:
        assert await other.scope(TENANT).count() == 0
        kept = await one.scope(TENANT).add(memory(1))
        assert await other.scope(TENANT).get("m1") == kept
        await other.scope(TENANT).update("m1", MemoryChange(importance=9), version=1)
        changed = await one.scope(TENANT).get("m1")
        assert changed is not None
        assert (changed.importance, changed.version) == (9, 2)


async def test_what_was_returned_may_be_changed_without_changing_what_is_kept(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        tags = {"domains": ["git"]}
        added = await scope.add(memory(1, tags=tags))
        tags["domains"].append("mine")
        read = await scope.get("m1", with_embedding=True)
        assert read is not None
        assert read.embedding is not None
        for each in (added, read):
            each.tags["domains"].append("yours")
        read.embedding[:] = 0
        (hit,) = await scope.search(vector=[1, 1, 0, -1], with_embedding=True)
        assert hit.memory.tags == {"domains": ["git"]}
        assert hit.score == pytest.approx(1)


async def test_writers_that_come_together_are_written_together(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await asyncio.gather(*(scope.add(memory(n)) for n in range(200)))
        assert {node["id"] for node in nodes_of(tmp_path)} == {f"m{n}" for n in range(200)}
    (generation,) = generations_of(tmp_path)
    assert int(generation) < 100


async def test_a_change_that_is_refused_does_not_keep_others_from_being_made(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(0))
        results = await asyncio.gather(
            *(scope.add(memory(n % 5, content="again")) for n in range(10)),
            scope.add(memory(9, embedding=[1, 2])),
            scope.add_many([memory(11), memory(12), memory(0)]),
            return_exceptions=True,
        )
        refused = [type(each) for each in results if isinstance(each, Exception)]
        assert sorted(refused, key=str) == [MemoryExistsError] * 7 + [VectorError]
    assert {node["id"] for node in nodes_of(tmp_path)} == {"m0", "m1", "m2", "m3", "m4"}


async def test_only_what_changed_is_written_anew(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add_many(memory(n) for n in range(3))
        vectors = tmp_path / str(TENANT) / VECTORS
        before = vectors.stat().st_ino
        await scope.record_access("m1")
        assert vectors.stat().st_ino == before
        await scope.update("m1", MemoryChange(embedding=[4, 3, 2, 1]), version=1)
        assert vectors.stat().st_ino != before
        await scope.delete("m0", hard=True)
    assert vectors_of(tmp_path).tolist() == [[4, 3, 2, 1], [1, 2, 0, -2]]
    assert [node["id"] for node in nodes_of(tmp_path)] == ["m1", "m2"]


async def test_what_was_deleted_for_good_is_in_no_file(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1))
        assert len(files_with(tmp_path, b"memory")) == 1
        await scope.delete("m1", hard=True)
    assert files_with(tmp_path, b"memory") == []


def files_with(root: Path, words: bytes) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and words in path.read_bytes()]


async def test_a_corpus_made_elsewhere_is_read_as_importing_it_would(tmp_path: Path) -> None:
    nodes = make_nodes(4)
    user, folder = uuid4(), tmp_path / str(TENANT)
    nodes[0] |= {"user_id": "u-17", "tenant_id": "acme", "mood": "calm"}
    nodes[1] = {"human_content": "Hi", "created_at": "2026-03-01T09:30:00"}
    nodes[2]["user_id"] = str(user)
    write_corpus(folder, nodes)
    before = digests(folder)
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        page = await scope.list(order="oldest", with_embedding=True)  # type: ignore[arg-type]
        found = {each.human_content: each for each in page}
        first = found["How do I rename branch 0?"]
        assert first.metadata == {"user_id": "u-17", "tenant_id": "acme", "mood": "calm"}
        assert (first.cluster_confidence, first.access_count, first.version, first.importance) == (0, 0, 1, 5)
        bare = found["Hi"]
        assert bare.id == f"mem_{hashlib.sha256(b'None:None:Hi').hexdigest()[:16]}"
        assert (bare.created_at, bare.tags) == (datetime(2026, 3, 1, 9, 30, tzinfo=UTC), {})
        assert found["How do I rename branch 2?"].user_id == user
        assert await store.scope(TENANT, user).count() == 1
        rows = [each.embedding for each in sorted(page, key=_row_of(nodes)) if each.embedding is not None]
        assert np.array_equal(rows, make_vectors(4))
    assert digests(folder) == before


def _row_of(nodes: list[dict[str, Any]]) -> Any:
    rows = {node["human_content"]: row for row, node in enumerate(nodes)}
    return lambda memory: rows[memory.human_content]


@pytest.mark.parametrize("linked", [False, True], ids=["put there", "linked"])
async def test_a_corpus_made_elsewhere_is_taken_over_whole_by_the_first_write(tmp_path: Path, linked: bool) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "store" / str(TENANT)
    write_corpus(elsewhere if linked else folder)
    if linked:
        folder.parent.mkdir()
        folder.symlink_to(elsewhere)
    (folder / "corpus" / "episodes.json").write_text("[]")
    before = digests(elsewhere) if linked else {}
    async with FileStore(folder.parent) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1, embedding=[1, 2, 3, 4]))
        await scope.record_access("m1")
        assert await scope.count() == 6
    assert [node["id"] for node in nodes_of(folder.parent)] == [*(node["id"] for node in make_nodes()), "m1"]
    assert np.array_equal(vectors_of(folder.parent)[:5], make_vectors())
    assert (folder / "corpus" / "episodes.json").read_text() == "[]"
    assert generations_of(folder.parent) == {"2"}
    assert before == (digests(elsewhere) if linked else {})


async def test_files_that_were_replaced_since_they_were_looked_for_are_not_read(tmp_path: Path) -> None:
    write_corpus(tmp_path / str(TENANT))
    generations = Generations(tmp_path, TENANT)
    before = generations.newest()
    assert before is not None
    async with FileStore(tmp_path) as store:
        await store.scope(TENANT).add(memory(1))
    assert generations.read(before, Words()) is None  # where the plain folder was there is a link now
    after = generations.newest()
    assert after is not None
    async with FileStore(tmp_path) as store:
        await store.scope(TENANT).add(memory(2))
    assert generations.read(after, Words()) is None


async def test_a_takeover_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / str(TENANT))
    async with FileStore(tmp_path) as store:
        await store.scope(TENANT).add(memory(1))
    corpus = shutil.copytree(folder, tmp_path / ".generations" / str(TENANT) / "0")  # where it is put meanwhile
    folder.unlink()
    async with FileStore(tmp_path) as store:
        assert await store.scope(TENANT).count() == 6
        await store.scope(TENANT).add(memory(2))
        assert await store.scope(TENANT).count() == 7
    assert not corpus.exists()
    assert len(nodes_of(tmp_path)) == 7


@pytest.mark.parametrize(("field", "value"), BROKEN.items())
async def test_a_broken_node_is_named(tmp_path: Path, field: str, value: object) -> None:
    nodes = make_nodes()
    nodes[3][field] = value
    folder = write_corpus(tmp_path / str(TENANT), nodes)
    async with FileStore(tmp_path) as store:
        with pytest.raises(CorpusError, match=r"nodes\.json: node 3 ") as caught:
            await store.scope(TENANT).count()
        with pytest.raises(CorpusError):
            await store.scope(TENANT).add(memory(1))
    assert field in str(caught.value)
    assert json.loads((folder / NODES).read_text()) == nodes


@pytest.mark.parametrize(("field", "value"), WRONG_TYPES.items())
async def test_a_node_of_a_store_that_somebody_spoiled_is_named(tmp_path: Path, field: str, value: object) -> None:
    async with FileStore(tmp_path) as store:
        await store.scope(TENANT).add_many(memory(n) for n in range(2))
    nodes = nodes_of(tmp_path)
    nodes[1][field] = value
    (tmp_path / str(TENANT) / NODES).write_text(json.dumps(nodes))
    async with FileStore(tmp_path) as store:
        with pytest.raises(CorpusError, match=rf"nodes\.json: node 1 cannot be read: {field} is of type"):
            await store.scope(TENANT).count()


async def test_keys_of_somebody_elses_that_stores_have_too_make_no_node_of_a_store(tmp_path: Path) -> None:
    nodes = make_nodes(2)
    nodes[0]["version"], nodes[1]["has_embedding"] = "2.0", "yes"
    folder = write_corpus(tmp_path / str(TENANT), nodes)
    async with FileStore(tmp_path) as store:
        found = await store.scope(TENANT).list(order="oldest")  # type: ignore[arg-type]
    assert [each.metadata for each in found] == [{"version": "2.0"}, {"has_embedding": "yes"}]
    corpus = open_corpus(folder)
    await check_corpus(corpus, 4, lambda _: None)
    metadata = [json.loads(row[COLUMNS.index("metadata")]) for row in corpus.rows(0, [0, 1])]
    assert metadata == [{"version": "2.0"}, {"has_embedding": "yes"}]


async def test_links_in_a_corpus_lead_on_to_where_they_led(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "store" / str(TENANT))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "notes.txt").write_text("kept")
    (folder / VECTORS).rename(elsewhere / "vectors.npy")
    (folder / VECTORS).symlink_to("../../../elsewhere/vectors.npy")
    (folder / "notes").symlink_to("../../elsewhere")
    (folder / "corpus" / "same.json").symlink_to("nodes.json")
    before = digests(elsewhere)
    for n in range(2):
        async with FileStore(tmp_path / "store") as store:
            await store.scope(TENANT).record_access("mem_0000000000000000")
            await store.scope(TENANT).add(memory(n))
            assert await store.scope(TENANT).count() == 6 + n
        assert (folder / "notes" / "notes.txt").read_text() == "kept"
        assert json.loads((folder / "corpus" / "same.json").read_text()) == nodes_of(tmp_path / "store")
    assert digests(elsewhere) == before


@pytest.mark.parametrize("file", [NODES, VECTORS])
async def test_files_that_are_no_corpus_are_refused_and_left_alone(tmp_path: Path, file: str) -> None:
    folder = write_corpus(tmp_path / str(TENANT))
    (folder / file).write_bytes(b"[1, 2")
    before = digests(folder)
    async with FileStore(tmp_path) as store:
        for call in (store.scope(TENANT).count(), store.scope(TENANT).add(memory(1))):
            with pytest.raises(CorpusError, match="Needed: a file corpus"):
                await call
        (folder / file).unlink()
        with pytest.raises(StoreFilesError, match="No such file"):
            await store.scope(TENANT).count()
    assert digests(folder) == {path: digest for path, digest in before.items() if not path.endswith(file)}


async def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add_many(memory(n) for n in range(3))
        before = digests(tmp_path)
        with full_disk():
            for change in (scope.add(memory(7, content="x" * 100_000)), scope.delete("m0")):
                with pytest.raises(StoreFilesError, match="File too large. What was written before is still there"):
                    await change
            assert [each.id for each in await scope.list()] == ["m0", "m1", "m2"]
        assert digests(tmp_path) == before
        await scope.add(memory(7))
        assert await scope.count() == 4


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 300 bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_who_waits_too_long_for_the_lock_is_told_which_file_it_is(tmp_path: Path) -> None:
    async with FileStore(tmp_path, lock_timeout=0.05) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1))
        lock = tmp_path / ".generations" / str(TENANT) / "lock"
        with locked(lock, 1):
            with pytest.raises(StoreBusyError, match=f"{lock} was locked by another writer for 0.05 s"):
                await scope.add(memory(2))
            assert await scope.count() == 1
            await store.scope(UUID(int=7)).add(memory(2))  # another tenant's is another lock
        await scope.add(memory(2))


async def test_a_call_that_was_cancelled_before_its_turn_changes_nothing(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1))
        with locked(tmp_path / ".generations" / str(TENANT) / "lock", 1):
            late = asyncio.create_task(scope.add(memory(2)))
            done = asyncio.create_task(scope.add(memory(3)))
            await asyncio.sleep(0)
            late.cancel()
            with pytest.raises(asyncio.CancelledError):
                await late
        await done
        assert {each.id for each in await scope.list()} == {"m1", "m3"}


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    scope = store.scope(TENANT)
    await scope.add(memory(1))
    await store.close()
    for call in (scope.get("m1"), scope.add(memory(2))):
        with pytest.raises(StoreClosedError, match=str(tmp_path)):
            await call


async def test_the_first_embedding_decides_how_wide_they_are(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1, embedding=None))
        assert (await scope.health()).embedding_dim is None
        assert len(await scope.search(vector=[1, 2])) == 0
        with pytest.raises(VectorError, match="the vector has 2 dimensions, the memories of this tenant have 3"):
            await scope.add_many([memory(2, embedding=[1, 2, 3]), memory(3, embedding=[1, 2])])
        await scope.update("m1", MemoryChange(embedding=[1, 2, 3]), version=1)
        assert (await scope.health()).embedding_dim == 3
        with pytest.raises(VectorError):
            await scope.search(vector=[1, 2])


async def test_a_search_says_how_many_were_compared(tmp_path: Path) -> None:
    async with FileStore(tmp_path) as store:
        scope = store.scope(TENANT)
        await scope.add_many(memory(n, source="a" if n < 2 else "b") for n in range(5))
        await scope.delete("m4")
        found = await scope.search(vector=[1, 0, 0, 0], filters=Filters(source="b"), explain=True)
        assert found.explanation is not None
        assert (found.explanation.plan, found.explanation.scope_rows) == ("exact", 4)
        assert found.explanation.matching_rows == len(found) == 2


async def test_tenants_share_nothing(tmp_path: Path) -> None:
    other = uuid4()
    async with FileStore(tmp_path) as store:
        await store.scope(TENANT).add(NewMemory(id="m", content="first", embedding=[1, 2]))
        await store.scope(other).add(NewMemory(id="m", content="second", embedding=[1, 2, 3]))
        for tenant, content in ((TENANT, "first"), (other, "second")):
            (hit,) = await store.scope(tenant).search(text="first second")
            assert (hit.memory.content, hit.memory.tenant_id) == (content, tenant)
