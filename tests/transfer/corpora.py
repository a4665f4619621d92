"""Small corpora for tests, written as files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import connecting
from memstore.errors import CorpusError
from memstore.store import NewUser, create_user
from memstore.transfer import import_corpus

NODES = "corpus/nodes.json"
VECTORS = "vectors/nodes.npy"
WIDTH = 4
Node = dict[str, Any]
Vectors = NDArray[np.float32]


def make_nodes(count: int = 5) -> list[Node]:
    """Return nodes with all 24 keys, each different from the others wherever its vocabulary allows."""
    return [
        {
            "id": f"mem_{n:016x}",
            "conversation_id": f"talk-{n // 3}",
            "sequence_index": n % 3,
            "human_content": f"How do I rename branch {n}?",
            "assistant_content": f"Type: git branch -m new-{n}",
            "source": "openai",
            "created_at": f"2026-03-{n % 28 + 1:02}T09:30:00+00:00",
            "user_id": None,
            "tenant_id": None,
            "intent_type": ("question", "request", "statement", "complaint", "celebration")[n % 5],
            "complexity": ("simple", "moderate", "complex")[n % 3],
            "technical_depth": n % 11,
            "emotional_valence": ("positive", "neutral", "negative")[n % 3],
            "urgency": ("low", "medium", "high")[n % 3],
            "conversation_mode": ("chat", "debug", "brainstorm", "review")[n % 4],
            "action_required": n % 2 == 0,
            "has_code": n % 2 == 1,
            "has_error": n % 3 == 0,
            "tags": {"domains": ["git"], "topics": [f"branch {n}"], "entities": [], "processes": []},
            "cluster_id": n - 1,
            "cluster_label": f"cluster {n}",
            "cluster_confidence": n % 5 / 4,
            "access_count": n,
            "last_accessed": f"2026-04-{n % 28 + 1:02}T10:00:00Z",
        }
        for n in range(count)
    ]


def make_vectors(count: int = 5, width: int = WIDTH) -> Vectors:
    """Return unit vectors, shape (count, width), the same ones each time."""
    vectors = np.random.default_rng(7).standard_normal((count, width)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def write_corpus(folder: Path, nodes: list[Node] | None = None, vectors: Vectors | None = None) -> Path:
    """Write a corpus of five nodes, or of those given, and return its folder."""
    nodes = make_nodes() if nodes is None else nodes
    vectors = make_vectors(len(nodes)) if vectors is None else vectors
    (folder / "corpus").mkdir(parents=True)
    (folder / "vectors").mkdir()
    (folder / NODES).write_text(json.dumps(nodes), encoding="utf-8")
    np.save(folder / VECTORS, vectors)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file in a folder."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


async def refusal(url: URL, folder: Path) -> CorpusError:
    """Import a corpus that cannot be imported. Return the error, having seen that nothing was changed."""
    before = digests(folder)
    async with connecting(url) as engine:
        owner = NewUser(f"{hashlib.sha256(str(folder).encode()).hexdigest()[:20]}@example.com")
        user_id, tenant_id = await create_user(engine, owner)
        with pytest.raises(CorpusError) as caught:
            await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM memstore.memory_nodes")) == 0
    assert digests(folder) == before
    return caught.value


async def stored(engine: AsyncEngine) -> dict[str, dict[str, Any]]:
    """Return every stored memory by its id, all columns; within one tenant ids are unique."""
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM memstore.memory_nodes"))).mappings().all()
    return {row["id"]: dict(row) for row in rows}


def vector_of(row: dict[str, Any]) -> Vectors:
    """Return the embedding of a row, which was read as text, as float32."""
    return np.array(row["embedding"].strip("[]").split(","), np.float32)
