from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from memstore.database import create_engine
from memstore.store.indexes import IndexedTable, IndexTarget, decision, loading
from tests.cli.command import done, fetch, misused, psql, refused
from tests.store.indexes.vectors import MODEL, TENANT, fill
from tests.support import Server, run_in_thread
from tests.transfer.corpora import make_nodes, write_corpus

MEMORIES = IndexTarget(IndexedTable.MEMORY_NODES, 4)
OF_MODEL = IndexTarget(IndexedTable.EMBEDDINGS, 3, MODEL)
HNSW = "ix_memory_nodes_embedding_hnsw"


@pytest.fixture
def filled(url: URL) -> URL:
    async def run() -> None:
        engine = create_engine(url)
        for target in (MEMORIES, OF_MODEL):
            await fill(engine, target, 30)
        await engine.dispose()

    run_in_thread(run())
    return url


def test_an_index_from_build_to_drop(server: Server, filled: URL) -> None:
    psql(server, filled, "CREATE INDEX by_hand ON memstore.memory_nodes USING hnsw (embedding vector_l2_ops)")
    only = ("--table", "memory_nodes")
    assert done("index", "build", url=filled).splitlines() == [
        "no index  memory_nodes: the largest tenant has 30 vectors (of 30 in all): below 10,000, a search without "
        "an index takes milliseconds, and finds everything",
        "no index  episodic_memories: the largest tenant has 0 vectors (of 0 in all): below 5,000, a search "
        "without an index takes milliseconds, and finds everything",
        "no index  embeddings of it's a model:v1.5: the largest tenant has 30 vectors (of 30 in all): below 5,000, "
        "a search without an index takes milliseconds, and finds everything",
    ]
    (line,) = done("index", "build", *only, "--method", "hnsw", "--no-halfvec", url=filled).splitlines()
    assert line.startswith(f"built     {HNSW}, 0.0 MB, ")
    assert line.endswith("hnsw was asked for, with m 16, ef_construction 64; full precision was asked for")
    assert done("index", "build", *only, url=filled) == f"kept      {HNSW}, 0.0 MB: there already\n"
    first, second, third, would, fourth = done("index", "status", *only, url=filled).splitlines()
    assert first == "memory_nodes: 30 vectors of 4 dimensions"
    assert second == f"  {HNSW}: hnsw, m 16, ef_construction 64, valid, 0.0 MB, 0 scans, built over 30 vectors"
    assert third.startswith("  auto: none: the largest tenant has 30 vectors")
    assert would == "  memstore index build: keeps what there is"
    assert fourth == (
        "not memstore's, left alone: memory_nodes: by_hand: hnsw, m 16, ef_construction 64, valid, but not by the "
        "cosine: no search of memstore uses it, 0.0 MB, 0 scans"
    )
    assert done("index", "rebuild", *only, url=filled).startswith(f"rebuilt   {HNSW}, ")
    assert done("index", "drop", url=filled).startswith(f"dropped   {HNSW}, ")
    assert done("index", "drop", url=filled) == "nothing to do\n"
    assert fetch(filled, "SELECT indexname::text FROM pg_indexes WHERE indexname = 'by_hand'")


def test_json_for_programs(filled: URL) -> None:
    *progress, end = map(
        json.loads, done("index", "build", "--model", MODEL, "--method", "ivfflat", "--json", url=filled).splitlines()
    )
    assert {line["event"] for line in progress} <= {"progress"}
    assert (end["event"], end["tenants_refreshed"]) == ("done", 0)
    (result,) = end["results"]
    assert result["action"] == "built"
    assert (result["table"], result["model"], result["rows"]) == ("embeddings", MODEL, 30)
    status = json.loads(done("index", "status", "--json", url=filled))
    assert status["others"] == []
    assert [target["table"] for target in status["targets"]] == ["memory_nodes", "episodic_memories", "embeddings"]
    assert [target["auto"] for target in status["targets"]] == ["none", "none", "none"]
    (index,) = status["targets"][2]["indexes"]
    assert index["name"] == result["index"]
    assert (index["method"], index["lists"], index["valid"], index["stale"]) == ("ivfflat", 1, True, None)
    assert (index["rows_at_build"], index["ours"], index["scans"]) == (30, True, 0)
    assert (index["m"], index["ef_construction"]) == (None, None)


def test_what_cannot_be_is_refused(filled: URL) -> None:
    assert "no embedding model 'x'. Registered: it's a model:v1.5" in refused(
        "index", "build", "--model", "x", url=filled
    )
    assert "only embeddings has models" in refused(
        "index", "drop", "--model", "x", "--table", "memory_nodes", url=filled
    )
    assert "--memory: '2 pounds' is no amount" in refused("index", "build", "--memory", "2 pounds", url=filled)
    assert "is not one of" in misused("index", "build", "--table", "agents")
    assert "is not one of" in misused("index", "rebuild", "--method", "btree")


def test_an_import_says_what_it_did_about_the_index(
    filled: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LARGE_LOAD", 30)
    monkeypatch.setitem(decision.EXACT_BELOW, MEMORIES.table, 30)
    monkeypatch.setitem(decision.WALKED, MEMORIES.table, 1)
    done("index", "build", "--method", "hnsw", "--table", "memory_nodes", url=filled)
    command = ("import", "corpus", write_corpus(tmp_path, make_nodes(40)), "--tenant-id", TENANT)
    counted, index = done(*command, url=filled).splitlines()
    assert "40 read, 40 inserted" in counted
    assert index.startswith("vector index: 1 dropped before, 1 built after, ")
    again = json.loads(done(*command, "--json", url=filled))
    assert again["index"] == {"dropped": 0, "built": 0, "seconds": again["index"]["seconds"], "note": None}
    both = misused(*command, "--keep-index", "--no-index")
    assert "found --keep-index and --no-index, needed: one of them, or neither" in both


def test_a_database_without_tables(empty_url: URL) -> None:
    for command in ("status", "build", "rebuild", "drop"):
        assert "Run: memstore db upgrade" in refused("index", command, url=empty_url)
