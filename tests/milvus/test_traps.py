"""What Milvus and pymilvus do that costs data or answers, one test each; the numbers are those of the trap's list.

1 ids pasted into filters, 3 an alias dropped with its target, 4 build parameters ignored, 5 short results with a
filter, 6 one id twice in a batch, 7 an insert of an id that is there, 8 reads that miss fresh rows, 9 a stale schema
behind an alias, 10 lengths in bytes, 11 vectors that are none, 12 unknown index types, 13 a lock that is kept, 14 all
fields returned, 15 a typo in a filter, 16 rows past their time, 18 calls without an end, 20 half a second an index.
10, 11 and 15 are refused before they are sent: test_entities.py, test_expressions.py. 3 and 4: test_collections.py.
16: test_searching.py. 2, 17 and 19 (templates, dynamic keys, BM25) are of features that memstore does not use.
"""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

import memstore.milvus
from memstore.errors import MilvusUnreachableError
from memstore.milvus import Milvus, MilvusSettings, VectorIndexChoice, entity_store, open_milvus
from memstore.milvus import collections as ours
from memstore.milvus.engine import IVF_FLAT
from memstore.milvus.expressions import Conditions
from memstore.milvus.fields import text
from tests.milvus.rows import TENANT, entities, spec
from tests.milvus.worlds import vectors
from tests.support import ROOT

NAME, SPEC = "memories_unified__0001", spec(8)
PACKAGE = Path(memstore.milvus.__file__).parent
NASTY = ["x'] or id not in ['zzz", '"] or id != "', "\\", '\\"', "a\nb\tc\rd", "\x00\x01", "é🙂", "{id}", "%", "", " "]


async def made(milvus: Milvus, choice: VectorIndexChoice = VectorIndexChoice.AUTO) -> None:
    await ours.create(milvus, NAME, SPEC, {})
    await ours.ensure_indexes(milvus, NAME, SPEC, milvus.capabilities.vector_index(choice))


async def test_1_no_id_is_more_than_an_id(connection: Milvus) -> None:
    await made(connection)
    rows = entities(vectors(len(NASTY), dim=8))
    for each, node_id in zip(rows, NASTY, strict=True):
        each["node_id"] = each["conversation_id"] = node_id
    await entity_store.upsert(connection, NAME, rows)
    await entity_store.delete(connection, NAME, NASTY)
    assert await entity_store.count(connection, NAME) == len(NASTY)
    for node_id in NASTY:
        asked = Conditions(SPEC).equals("conversation_id", node_id)
        assert await entity_store.count(connection, NAME, asked) == 1, node_id
        among = Conditions(SPEC).one_of("node_id", [node_id, "nobody"])
        assert await entity_store.count(connection, NAME, among) == 1, node_id
    await entity_store.delete(connection, NAME, [rows[0]["id"]])
    assert await entity_store.count(connection, NAME) == len(NASTY) - 1


@pytest.mark.parametrize("choice", [VectorIndexChoice.FLAT, VectorIndexChoice.HNSW, VectorIndexChoice.IVF_FLAT])
async def test_5_a_tenant_of_a_hundredth_gets_what_is_nearest(connection: Milvus, choice: VectorIndexChoice) -> None:
    await made(connection, choice)
    some = np.repeat(vectors(40, seed=1, dim=8), 100, axis=0) + 0.3 * vectors(4_000, seed=2, dim=8)
    mine = np.random.default_rng(3).choice(4_000, 40, replace=False)
    others = np.setdiff1d(np.arange(4_000), mine)
    other = TENANT.__class__(int=5)
    await entity_store.upsert(connection, NAME, entities(some[others], tenant=other))
    await entity_store.upsert(connection, NAME, entities(some[mine]))
    index = connection.capabilities.vector_index(choice)
    asked = Conditions(SPEC).equals("org_id", str(TENANT))
    found, wanted = 0, 0
    for question in vectors(20, seed=4, dim=8):
        hits = await entity_store.search(
            connection,
            NAME,
            question,
            asked,
            limit=10,
            params=index.search_params(10),
            fields=["node_id"],
            consistency="Strong",
        )
        scores = some[mine] @ question / np.linalg.norm(some[mine], axis=1)
        exact = {f"mem_{place:06}" for place in np.argsort(-scores)[:10]}
        assert len(hits) == 10
        found += len(exact & {entity["node_id"] for _, entity in hits})
        wanted += 10
    assert found / wanted >= 0.98


async def test_6_of_one_id_twice_in_a_batch_the_last_is_kept(connection: Milvus) -> None:
    await made(connection)
    one, other = entities(vectors(1, dim=8), version=1)[0], entities(vectors(1, dim=8), version=2)[0]
    await entity_store.upsert(connection, NAME, [one, *entities(vectors(5, dim=8), first=9), other])
    assert await entity_store.count(connection, NAME) == 6
    assert (await entity_store.by_ids(connection, NAME, [one["id"]], ["version"]))[one["id"]]["version"] == 2


async def test_7_and_8_what_is_written_again_is_read_as_it_is_now(connection: Milvus) -> None:
    await made(connection)
    for version in range(1, 6):
        rows = entities(vectors(20, seed=version, dim=8), version=version)
        await entity_store.upsert(connection, NAME, rows)
        found = await entity_store.by_ids(connection, NAME, [each["id"] for each in rows], ["version", "embedding"])
        assert {each["version"] for each in found.values()} == {version}
        assert all(np.array_equal(np.float32(found[each["id"]]["embedding"]), each["embedding"]) for each in rows)
        assert await entity_store.count(connection, NAME) == 20


async def test_9_a_collection_is_written_by_its_own_name_after_an_alias_has_moved(connection: Milvus) -> None:
    await made(connection)
    await ours.point(connection, "readers", NAME)
    await entity_store.upsert(connection, NAME, entities(vectors(1, dim=8)))
    wider = SPEC.adding(text("mood", "source", 9))
    await ours.create(connection, "second", wider, {})
    await ours.ensure_indexes(connection, "second", wider, connection.capabilities.default_index)
    await ours.point(connection, "readers", "second")
    rows = [{**each, "mood": "calm"} for each in entities(vectors(3, dim=8))]
    await entity_store.upsert(connection, "second", rows)
    assert await entity_store.count(connection, "second") == 3
    assert await entity_store.count(connection, NAME) == 1


def test_12_only_index_types_that_were_tried_can_be_asked_for() -> None:
    assert {each.value for each in VectorIndexChoice} == {"auto", "flat", "hnsw", "ivf_flat"}
    assert IVF_FLAT.build == {"nlist": 1_024}


OPEN_ELSEWHERE = """
import asyncio, sys
from memstore.milvus import MilvusSettings, open_milvus
async def main():
    async with await open_milvus(MilvusSettings(uri=sys.argv[1], timeout_s=5)):
        print("open", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def test_13_the_folder_of_milvus_lite_is_one_process_at_a_time_and_let_go(tmp_path: Path) -> None:
    uri = str(tmp_path / "deep" / "milvus.db")
    settings = MilvusSettings(uri=uri, timeout_s=5)
    async with await open_milvus(settings) as one, await open_milvus(settings) as other:  # in one process they share it
        assert await ours.names(one) == await ours.names(other) == []
        assert (tmp_path / "deep" / "milvus.db").stat().st_mode & 0o777 == 0o700
    with subprocess.Popen(
        [sys.executable, "-c", OPEN_ELSEWHERE, uri], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "open\n"  # this process has let go of it
        with pytest.raises(MilvusUnreachableError, match="another process uses it.*milvus-lite server --data-dir"):
            await open_milvus(settings)
        child.stdin.close()
        assert child.wait(timeout=30) == 0
    async with await open_milvus(settings):
        pass


def test_13_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.db").write_bytes(b"SQLite format 3")
    with pytest.raises(MilvusUnreachableError, match="is a file; Milvus Lite needs a folder of that name"):
        asyncio.run(open_milvus(MilvusSettings(uri=str(tmp_path / "old.db"))))


async def test_14_a_search_returns_what_was_asked_for(connection: Milvus) -> None:
    await made(connection)
    await entity_store.upsert(connection, NAME, entities(vectors(3, dim=8)))
    found = await entity_store.search(
        connection, NAME, vectors(1, dim=8)[0], "", limit=1, params={}, fields=["node_id"], consistency="Strong"
    )
    assert [set(entity) for _, entity in found] == [{"id", "node_id"}]


def test_18_and_20_every_call_has_an_end_and_no_index_is_waited_for_in_pymilvus() -> None:
    """A call of pymilvus without `timeout` is tried 75 times; `create_index` sleeps unless it is told not to wait."""
    known = {name for name in dir(MilvusClient) if not name.startswith("_")}
    without = {"close", "prepare_index_params", "create_schema"}
    seen = 0
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if not isinstance(node.func.value, ast.Name) or node.func.value.id not in ("c", "client"):
                continue
            if node.func.attr in known - without:
                given = {each.arg for each in node.keywords}
                assert "timeout" in given, f"{path.name}:{node.lineno}"
                assert node.func.attr != "create_index" or "sync" in given, f"{path.name}:{node.lineno}"
                seen += 1
    assert seen >= 15


def test_pymilvus_is_imported_late() -> None:
    asked = "import sys, json, memstore, memstore.milvus, memstore.cli.milvus; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"pymilvus", "milvus_lite", "pandas", "grpc"} & set(json.loads(run.stdout)) == set()
