"""A file store in a folder, and what any tool would see of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from memstore.store import NewMemory

TENANT = UUID("11111111-1111-1111-1111-111111111111")


def nodes_of(root: Path, tenant: UUID = TENANT) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads((root / str(tenant) / "corpus" / "nodes.json").read_text())
    return nodes


def vectors_of(root: Path, tenant: UUID = TENANT) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = np.load(root / str(tenant) / "vectors" / "nodes.npy")
    return vectors


def generations_of(root: Path, tenant: UUID = TENANT) -> set[str]:
    return {path.name for path in (root / ".generations" / str(tenant)).iterdir()} - {"lock"}


def memory(number: int, **values: Any) -> NewMemory:
    plain = {"id": f"m{number}", "content": f"memory {number}", "embedding": [1.0, number, 0.0, -number]}
    return NewMemory(**(plain | values))
