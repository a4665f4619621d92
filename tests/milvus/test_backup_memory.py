"""Whether a backup and a restore of many entities stay within their memory; the engine is in another process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.milvus.servers import Milvus
from tests.support import run_python

ROWS = 100_000
LIMIT = 2**30

SCRIPT = """
import asyncio, hashlib, json, resource, sys, time
import numpy as np
from memstore.milvus import MilvusSettings, collections, entity_store, load_chain, open_milvus
from memstore.milvus import restore_backup, write_backup

what, uri, folder, rows = *sys.argv[1:4], int(sys.argv[4])

async def fill(milvus):
    revision = load_chain().get("0001_unified_memory")
    spec = load_chain().spec(revision.revision, 768)
    await collections.create(milvus, "memories", spec, {"memstore.revision": revision.revision})
    await collections.ensure_indexes(milvus, "memories", spec, milvus.capabilities.default_index)
    random = np.random.default_rng(1)
    texts = {each.name: "some words" for each in spec.fields if each.kind == "VARCHAR"}
    numbers = {each.name: 1 for each in spec.fields if each.kind in ("INT8", "INT32", "INT64")}
    others = {each.name: 0.5 for each in spec.fields if each.kind == "FLOAT"}
    others |= {each.name: False for each in spec.fields if each.kind == "BOOL"}
    for start in range(0, rows, 1_000):
        vectors = random.standard_normal((1_000, 768), dtype=np.float32)
        page = [
            {**texts, **numbers, **others, "id": f"{start + n:012}", "org_id": f"org {n % 50}", "embedding": vectors[n]}
            for n in range(1_000)
        ]
        await entity_store.upsert(milvus, "memories", page)

async def digest(milvus, name):
    found = hashlib.sha256()
    async for page in entity_store.scan(milvus, name, ["embedding"]):
        for row in page:
            found.update(row["id"].encode() + np.asarray(row["embedding"], np.float32).tobytes())
    return found.hexdigest()

async def main():
    async with await open_milvus(MilvusSettings(uri=uri, timeout_s=120)) as milvus:
        started, told = time.perf_counter(), {}
        match what:
            case "fill": await fill(milvus)
            case "backup": told["rows"] = (await write_backup(milvus, "memories", folder)).rows
            case "restore": told["rows"] = (await restore_backup(milvus, folder, as_name="restored")).rows
            case "compare": told["equal"] = await digest(milvus, "memories") == await digest(milvus, "restored")
        seconds = round(time.perf_counter() - started, 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"what": what, "seconds": seconds, "peak": peak, **told}))

asyncio.run(main())
"""


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_many_entities_are_saved_and_restored_within_a_gibibyte(real_milvus: Milvus, tmp_path: Path) -> None:
    async def run(what: str) -> dict[str, Any]:
        done = await asyncio.to_thread(
            run_python, "-c", SCRIPT, what, real_milvus.uri, str(tmp_path / "backup"), str(ROWS)
        )
        assert done.returncode == 0, done.stderr
        print(done.stdout)  # noqa: T201 -- what was measured
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    await run("fill")
    backup, restore, compared = await run("backup"), await run("restore"), await run("compare")
    assert (backup["rows"], restore["rows"]) == (ROWS, ROWS)
    assert compared["equal"]
    assert max(backup["peak"], restore["peak"]) < LIMIT
