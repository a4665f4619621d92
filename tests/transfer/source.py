"""Comparing what is in a database with the corpus that it came from, read here without memstore's own reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

TIMES = ("created_at", "last_accessed")
STAMPED = ("user_id", "tenant_id")


async def assert_equal_to_source(engine: AsyncEngine, folder: Path, tenant_id: UUID, user_id: UUID) -> None:
    """Every node of the corpus is one row of this user, every field and every number of its vector as in the files."""
    nodes: list[dict[str, Any]] = json.loads((folder / "corpus" / "nodes.json").read_text())
    vectors = np.load(folder / "vectors" / "nodes.npy")
    async with engine.connect() as connection:
        result = await connection.execute(
            text("SELECT *, embedding::real[] AS numbers FROM memstore.memory_nodes WHERE user_id = :user"),
            {"user": user_id},
        )
        rows = {row["id"]: row for row in result.mappings()}
    assert rows.keys() == {node["id"] for node in nodes}
    for node, vector in zip(nodes, vectors, strict=True):
        row = rows[node["id"]]
        assert row["tenant_id"] == tenant_id
        for field in node.keys() - STAMPED:
            expected = _time(node[field]) if field in TIMES else node[field]
            if field == "cluster_confidence" and expected is not None:
                expected = float(np.float32(node[field]))
            assert row[field] == expected, (node["id"], field)
        assert np.array_equal(np.array(row["numbers"], dtype=np.float32), vector), node["id"]


def _time(value: str | None) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
