"""Rows of memories as PostgreSQL would give them, for tests that need no PostgreSQL."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from memstore.milvus import load_chain
from memstore.milvus.entities import Entity, entity_of
from memstore.milvus.fields import CollectionSpec

TENANT = UUID("6f1c0000-0000-4000-8000-000000000001")


def spec(dimensions: int) -> CollectionSpec:
    chain = load_chain()
    return chain.spec(chain.head, dimensions)


def row(number: int, embedding: NDArray[np.float32], *, tenant: UUID = TENANT, **changed: Any) -> dict[str, Any]:
    node_id = f"mem_{number:06}"
    return {
        "tenant_id": tenant,
        "id": changed.get("node_id", node_id),
        "org_id": str(tenant),
        "user_id": None,
        "node_id": node_id,
        "embedding": embedding,
        "memory_type": "general",
        "neuro_type": "episodic",
        "decay_tier": None,
        "ui_source": "api",
        "session_id": None,
        "conversation_id": None,
        "importance": 5,
        "importance_decay": 1.0,
        "decay_lambda": 0.12,
        "created_at": 1_700_000_000.5,
        "updated_at": 1_700_000_000.5,
        "last_accessed": None,
        "expires_at": None,
        "access_count": 0,
        "ai_generated": False,
        "user_confirmed": True,
        "is_deleted": None,
        "version": 1,
        **changed,
    }


def entities(vectors: NDArray[np.float32], *, tenant: UUID = TENANT, first: int = 0, **changed: Any) -> list[Entity]:
    made = spec(vectors.shape[1])
    return [entity_of(made, row(first + n, each, tenant=tenant, **changed)) for n, each in enumerate(vectors)]
