from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from milvus_lite.server_manager import server_manager_instance
from sqlalchemy.engine import URL

from memstore.milvus import MilvusSettings, entity_store, open_milvus
from memstore.milvus import collections as ours
from tests.cli.command import done, fetch, memstore, memstore_process, misused, refused
from tests.milvus.rows import spec
from tests.support import run_in_thread
from tests.transfer.corpora import make_nodes, write_corpus

FIRST = "memories_unified__0001"


@pytest.fixture
def at(url: URL, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Twelve memories of one user, and the folder of a Milvus Lite that is still to be made."""
    user = done("user", "create", "--email", "ines@example.com", "--json", url=url)
    done(
        "import",
        "corpus",
        write_corpus(tmp_path / "corpus", make_nodes(12)),
        "--user-id",
        json.loads(user)["user_id"],
        url=url,
    )
    uri = str(tmp_path / "milvus.db")
    yield {"url": url, "MILVUS_URI": uri}
    server_manager_instance.release_server(uri)


def test_a_mirror_from_up_to_prune(at: dict[str, Any]) -> None:
    planned = done("milvus", "plan", **at).splitlines()
    assert planned[0] == f"1. create {FIRST}: 23 fields, 4 dimensions"
    assert [line.split()[1] for line in planned] == ["create", "index", "fill", "verify", "switch"]
    assert memstore("milvus", "status", **at).returncode == 1  # a plan changed nothing
    last, more = done("milvus", "up", **at).splitlines()[-2:]
    assert more == "changes to memories are not followed. Type: memstore milvus enable"
    assert re.fullmatch(
        r"readers are led to 0001_unified_memory \(before: nothing\); 12 memories and 12 entities compared, 0 mended, "
        r"\d+\.\d s",
        last,
    )
    assert done("milvus", "up", **at) == "nothing to do: readers are led to 0001_unified_memory\n"
    off = memstore("milvus", "status", **at)
    shown = off.stdout
    assert (off.returncode, off.stderr) == (1, "")
    assert "mirror     off: changes are not written down. Type: memstore milvus enable" in shown
    assert f"{FIRST}: live, 12 entities, FLAT" in shown
    on, more = done("milvus", "enable", url=at["url"]).splitlines()
    assert on.startswith("on from now; 12 memories enqueued")
    assert more.endswith("memstore milvus verify --repair")
    assert done("milvus", "enable", url=at["url"]).startswith("on already; 12 memories enqueued")
    fetch(at["url"], "DELETE FROM memstore.mirror_outbox WHERE seq > 12")
    assert "behind     12 changes, the oldest " in done("milvus", "status", **at)
    synced = memstore_process("milvus", "sync", **at)
    assert (synced.returncode, synced.stderr) == (0, "")
    counted = "12 changes followed: 12 written, 0 not there or gone, 0 set aside, 0 retries, 0 left"
    assert synced.stdout.startswith(counted)
    assert "12 entities, 12 compared field by field, 0 on their way, 0 differences" in done("milvus", "verify", **at)
    assert done("milvus", "down", **at).startswith("remove alias")
    assert memstore("milvus", "status", **at).returncode == 1
    assert done("milvus", "prune", "--dry-run", **at) == f"would drop  {FIRST}\n"
    assert done("milvus", "prune", **at) == f"dropped  {FIRST}\n"
    assert done("milvus", "prune", **at) == "nothing to drop\n"
    assert done("milvus", "disable", url=at["url"]) == "off from now\n"
    assert done("milvus", "disable", url=at["url"]) == "off already\n"


def test_a_difference_is_an_exit_code_until_it_is_mended(at: dict[str, Any]) -> None:
    done("milvus", "up", **at)
    user = fetch(at["url"], "DELETE FROM memstore.memory_nodes WHERE id = 'mem_0000000000000003' RETURNING tenant_id")
    found = memstore("milvus", "verify", **at)
    assert (found.returncode, found.stderr) == (1, "")
    assert "11 memories, 12 entities" in found.stdout
    assert f"  stray: mem_0000000000000003 of {user[0]['tenant_id']}: at version 1" in found.stdout
    assert "1 differences, 1 mended" in done("milvus", "verify", "--repair", **at)
    assert "0 differences" in done("milvus", "verify", **at)


def test_programs_get_json(at: dict[str, Any]) -> None:
    steps = json.loads(done("milvus", "plan", "--json", **at))
    assert [each["action"] for each in steps] == ["create", "index", "fill", "verify", "switch"]
    lines = [json.loads(line) for line in done("milvus", "up", "--json", **at).splitlines()]
    assert {line["event"] for line in lines[:-1]} == {"progress"}
    assert {"event": "progress", "step": "fill", "collection": FIRST, "done": 12, "total": 12} in lines
    assert lines[-1]["moved"]["verification"]["entities"] == 12
    assert json.loads(done("milvus", "enable", "--json", url=at["url"])) == {
        "was_enabled": False,
        "enqueued": 12,
        "to_compare": True,
    }
    synced = [json.loads(line) for line in memstore_process("milvus", "sync", "--json", **at).stdout.splitlines()]
    assert synced[-1]["synced"]["entries"] == 12
    status = json.loads(done("milvus", "status", "--json", **at))
    assert (status["live"], status["enabled"], status["lag"]["entries"]) == ("0001_unified_memory", True, 0)
    assert json.loads(done("milvus", "verify", "--json", **at))["found"] == 0
    assert json.loads(done("milvus", "prune", "--json", **at))["dropped"] == []
    assert json.loads(done("milvus", "disable", "--json", url=at["url"])) == {"was_enabled": True}


def test_what_cannot_be_done_says_what_to_type(at: dict[str, Any]) -> None:
    assert "Run: memstore milvus enable" in memstore_process("milvus", "sync", **at).stderr
    assert "there is no version before that" in refused("milvus", "down", **at)
    assert "It has: 0001_unified_memory" in refused("milvus", "up", "0009", **at)
    assert "Run: memstore milvus up" in refused("milvus", "verify", **at)
    assert "the address of Milvus is './x'" in refused("milvus", "up", url=at["url"], MILVUS_URI="./x")
    nobody = refused("milvus", "status", url=at["url"], MILVUS_URI="http://127.0.0.1:9", MILVUS_TIMEOUT_S="1")
    assert "no Milvus answers at http://127.0.0.1:9" in nobody
    assert "Start it, or correct MILVUS_URI" in nobody
    assert "'--batch-size'" in misused("milvus", "sync", "--batch-size", "0")


def test_a_collection_in_the_way_is_named(at: dict[str, Any]) -> None:
    async def make() -> None:
        async with await open_milvus(MilvusSettings(uri=at["MILVUS_URI"])) as milvus:
            await ours.create(milvus, FIRST, spec(4), {})

    run_in_thread(make())
    assert f"there is a collection {FIRST} that memstore did not make" in refused("milvus", "up", **at)
    kept = f"kept     {FIRST}: memstore did not make it"
    assert done("milvus", "prune", **at).splitlines() == [kept, "nothing to drop"]


def test_fields_that_somebody_changed_are_mended_and_counted(at: dict[str, Any]) -> None:
    done("milvus", "up", **at)

    async def change() -> None:
        async with await open_milvus(MilvusSettings(uri=at["MILVUS_URI"])) as milvus:
            await ours.load(milvus, FIRST)
            async for page in entity_store.scan(milvus, FIRST, ["*"]):
                await entity_store.upsert(milvus, FIRST, [{**each, "ui_source": "somebody"} for each in page])

    run_in_thread(change())
    mended = done("milvus", "verify", "--repair", **at).splitlines()
    assert "12 differences, 12 mended" in mended[0]
    assert mended[-1] == "a field of 12 memories differed: all 12 were written anew"
    assert "0 differences" in done("milvus", "verify", **at)


def test_a_mirror_that_another_database_has_left_is_dropped_when_asked(at: dict[str, Any]) -> None:
    done("milvus", "up", **at)
    done("milvus", "down", **at)

    async def change() -> None:
        async with await open_milvus(MilvusSettings(uri=at["MILVUS_URI"])) as milvus:
            await ours.set_properties(milvus, FIRST, {"memstore.checksum": "f" * 64})

    run_in_thread(change())
    assert "checksum ffffffffffff" in refused("milvus", "prune", **at, lines=2)
    assert done("milvus", "prune", "--rebuild", **at) == f"dropped  {FIRST}\n"


def test_a_backup_dropped_and_restored(at: dict[str, Any], tmp_path: Path) -> None:
    done("milvus", "up", **at)
    only = {"MILVUS_URI": at["MILVUS_URI"]}
    folder = tmp_path / "backup"
    assert done("milvus", "backup", folder, **only).startswith(f"{FIRST}: 12 rows in {folder}, ")
    assert "is not empty" in refused("milvus", "backup", folder, **only)
    assert f"there is a collection {FIRST} in Milvus" in refused("milvus", "restore", folder, **only)
    assert done("milvus", "restore", folder, "--as", "copy", **only).startswith("copy: 12 rows, ")
    done("milvus", "down", **at)
    done("milvus", "prune", **at)
    restored = done("milvus", "restore", folder, **only)
    assert restored.startswith(f"{FIRST}: 12 rows, memories_unified leads there, ")
    assert restored.endswith("is not in it. Type: memstore milvus verify --repair\n")
    assert "in Milvus it leads to" in refused("milvus", "up", **at, lines=2)
    assert "12 memories and 12 entities compared" in done("milvus", "up", "--rebuild", **at)
    (damaged,) = folder.glob("*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert damaged.name in refused("milvus", "restore", folder, "--as", "other", **only)
