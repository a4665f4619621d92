from __future__ import annotations

import codecs
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore import errors
from memstore.errors import CorpusError
from memstore.store import NewTenant, NewUser, create_tenant, create_user
from memstore.transfer import import_corpus
from tests.transfer.corpora import NODES, digests, make_nodes, make_vectors, stored, vector_of, write_corpus

TIMES = {
    "2026-03-01T09:30:00": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    "2026-03-01T09:30:00Z": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    "2026-03-01T09:30:00.123456+02:00": datetime(2026, 3, 1, 7, 30, 0, 123456, tzinfo=UTC),
    "2026-03-01 09:30": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    "2026-03-01": datetime(2026, 3, 1, tzinfo=UTC),
    "1969-12-31T23:59:59-00:30": datetime(1970, 1, 1, 0, 29, 59, tzinfo=UTC),
}

TEXTS = [
    "naïve façade, Привет, 漢字, مرحبا, 👩‍👩‍👧 🏳️‍🌈",
    "e\u0301 is not \u00e9",
    " leading, trailing \t\r\n ",
    "",
    "\\N \\. \\u0000 \\x00 {} $1 %s :name 'quoted' \"double\"",
    "\ufeff\u200b\u2028\x7f\x01",
    "x" * 1_000_000,
]


async def test_every_field_is_kept(engine: AsyncEngine, tmp_path: Path) -> None:
    nodes = make_nodes(30)
    nodes[7] = dict.fromkeys(nodes[7]) | {"id": "bare", "human_content": "Hi", "created_at": "2026-03-08T00:00:00Z"}
    write_corpus(tmp_path, nodes)
    before = digests(tmp_path)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    result = await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)
    assert (result.read, result.inserted, result.already_there, result.renamed) == (30, 30, 0, 0)
    rows = await stored(engine)
    assert [expected(node) for node in nodes] == [
        {column: rows[node["id"]][column] for column in expected(node)} for node in nodes
    ]
    assert {(row["tenant_id"], row["user_id"]) for row in rows.values()} == {(tenant_id, user_id)}
    assert digests(tmp_path) == before


def expected(node: dict[str, Any]) -> dict[str, Any]:
    """Return what the columns should hold: 22 keys as they are, with defaults for null; owners are not taken over."""
    kept = {key: value for key, value in node.items() if key not in ("user_id", "tenant_id")}
    defaults = {"action_required": False, "has_code": False, "has_error": False, "tags": {}, "access_count": 0}
    times = {key: node[key] and datetime.fromisoformat(node[key]) for key in ("created_at", "last_accessed")}
    nulls = {key: value for key, value in defaults.items() if node[key] is None}
    return kept | nulls | times | {"metadata": {}, "deleted_at": None, "version": 1}


async def test_vectors_are_kept_bit_by_bit(engine: AsyncEngine, tmp_path: Path) -> None:
    vectors = make_vectors(6)
    vectors[0] = 1e-18, -0.0, 1e-45, 1.1754942e-38  # the last two are subnormal, the smallest and the largest
    vectors[1] = np.nextafter(np.float32(1), np.float32(2)), np.float32(1) / 3, 1e18, -1e-30
    nodes = make_nodes(6)
    write_corpus(tmp_path, nodes, vectors)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)
    rows = await stored(engine)
    found = np.array([vector_of(rows[node["id"]]) for node in nodes])
    assert found.tobytes() == vectors.tobytes()


@pytest.mark.parametrize("fortran", [False, True])
async def test_row_i_of_the_vectors_belongs_to_node_i(engine: AsyncEngine, tmp_path: Path, fortran: bool) -> None:
    nodes, vectors = make_nodes(50), make_vectors(50)
    write_corpus(tmp_path, nodes, np.asfortranarray(vectors) if fortran else vectors)
    _, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    await import_corpus(engine, tmp_path, tenant_id=tenant_id, batch_size=7)
    rows = await stored(engine)
    found = np.array([vector_of(rows[node["id"]]) for node in nodes])
    assert np.array_equal(found, vectors)


async def test_times_are_utc_unless_they_say_otherwise(engine: AsyncEngine, tmp_path: Path) -> None:
    nodes = make_nodes(len(TIMES) + 1)
    for node, written in zip(nodes, TIMES, strict=False):
        node |= {"created_at": written, "last_accessed": written}
    nodes[-1]["created_at"] = None
    write_corpus(tmp_path, nodes)
    _, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    await import_corpus(engine, tmp_path, tenant_id=tenant_id)
    rows = await stored(engine)
    for node, meant in zip(nodes, TIMES.values(), strict=False):
        row = rows[node["id"]]
        assert (row["created_at"], row["last_accessed"]) == (meant, meant)
    # No time of its own: that of the import.
    assert rows[nodes[-1]["id"]]["created_at"] == rows[nodes[-1]["id"]]["updated_at"]


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_the_last_time_are_refused_for_they_would_become_infinite(
    engine: AsyncEngine, tmp_path: Path, written: str
) -> None:
    nodes = make_nodes(1)
    nodes[0] |= {"created_at": written, "last_accessed": written}
    write_corpus(tmp_path, nodes)
    _, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    with pytest.raises(CorpusError, match="created_at: found .*, which would become infinite, needed: null for never"):
        await import_corpus(engine, tmp_path, tenant_id=tenant_id)


async def test_a_missing_id_is_made_from_the_content(engine: AsyncEngine, tmp_path: Path) -> None:
    nodes = make_nodes(4)
    nodes[0]["human_content"] = "é" * 100 + "beyond the hundredth character"
    nodes[1] |= {"conversation_id": None, "sequence_index": None}
    nodes[2]["id"] = None
    for node in (nodes[0], nodes[1], nodes[3]):
        del node["id"]
    write_corpus(tmp_path, nodes)
    _, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    named = [
        "talk-0:0:" + "é" * 100,
        "None:None:How do I rename branch 1?",
        "talk-0:2:How do I rename branch 2?",
        "talk-1:0:How do I rename branch 3?",
    ]
    ids = [f"mem_{hashlib.sha256(name.encode()).hexdigest()[:16]}" for name in named]
    for inserted in (4, 0):
        assert (await import_corpus(engine, tmp_path, tenant_id=tenant_id)).inserted == inserted
    rows = await stored(engine)
    assert [rows[id_]["human_content"] for id_ in ids] == [node["human_content"] for node in nodes]


async def test_what_has_no_column_is_kept_in_metadata(engine: AsyncEngine, tmp_path: Path) -> None:
    nodes = make_nodes(2)
    extra = {"mood": "calm", "nested": {"a": [1, 2.5, None, True]}, "big": 10**20, "small": 1e-300, "": "no name"}
    nodes[0] |= extra | {"user_id": "u-17", "tenant_id": "acme"}
    write_corpus(tmp_path, nodes)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)
    rows = await stored(engine)
    assert rows[nodes[0]["id"]]["metadata"] == extra | {"user_id": "u-17", "tenant_id": "acme"}
    assert rows[nodes[1]["id"]]["metadata"] == {}


@pytest.mark.parametrize("escaped", [True, False])
async def test_text_is_kept_exactly(engine: AsyncEngine, tmp_path: Path, escaped: bool) -> None:
    nodes = make_nodes(len(TEXTS))
    for n, (node, written) in enumerate(zip(nodes, TEXTS, strict=True)):
        node |= {"human_content": written, "assistant_content": written, "id": f"{written[:50]} {n}"}
        node |= {"tags": {written[:50]: [written]}, "mood": written}
    path = write_corpus(tmp_path, nodes) / NODES
    path.write_bytes(codecs.BOM_UTF8 + json.dumps(nodes, ensure_ascii=escaped).encode())
    _, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    await import_corpus(engine, tmp_path, tenant_id=tenant_id)
    rows = await stored(engine)
    for node in nodes:
        row = rows[node["id"]]
        assert (row["human_content"], row["assistant_content"]) == (node["human_content"], node["human_content"])
        assert (row["tags"], row["metadata"]) == (node["tags"], {"mood": node["mood"]})


async def test_an_unknown_owner_is_refused(engine: AsyncEngine, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    other = await create_tenant(engine, NewTenant("Acme"))
    nobody = NewTenant("nobody").id
    with pytest.raises(errors.UnknownTenantError, match=f"no tenant {nobody}. Run: memstore tenant create"):
        await import_corpus(engine, tmp_path, tenant_id=nobody)
    with pytest.raises(errors.UnknownUserError, match=f"no user {nobody}. Run: memstore user create"):
        await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=nobody)
    with pytest.raises(errors.UnknownUserError, match=f"no user {user_id}"):
        await import_corpus(engine, tmp_path, tenant_id=other, user_id=user_id)
    assert await stored(engine) == {}


@pytest.mark.parametrize("size", [0, -1, 100_001])
async def test_a_batch_size_out_of_range_is_refused(engine: AsyncEngine, tmp_path: Path, size: int) -> None:
    tenant_id = await create_tenant(engine, NewTenant("Acme"))
    with pytest.raises(errors.SettingsError, match=f"batch size is {size}"):
        await import_corpus(engine, write_corpus(tmp_path), tenant_id=tenant_id, batch_size=size)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM memstore.memory_nodes")) == 0
