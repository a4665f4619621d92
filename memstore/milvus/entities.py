"""Rows of `memory_nodes` as entities of a collection, and what is refused before it is sent.

Milvus takes much that it should not: a text longer than its field is stored by one engine and refused by another, NaN
is stored by Milvus Lite, and a vector without a length has no cosine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from .fields import Form, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import CollectionSpec, Field

Entity = dict[str, Any]

_RANGES = {kind: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in
           ((Kind.INT8, 8), (Kind.INT32, 32), (Kind.INT64, 64))}  # fmt: skip
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


class UnfitEntityError(Exception):
    """A row cannot become an entity; the message says which field, and why."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A memory that the mirror cannot hold, at which version (None: not known), and why."""

    tenant_id: UUID
    node_id: str
    version: int | None
    reason: str


def entity_id(tenant_id: UUID, node_id: str) -> str:
    """Return the id of the entity that mirrors a memory: a UUID of version 5 (RFC 9562), the tenant's the namespace."""
    return str(uuid5(tenant_id, node_id))


def entity_of(spec: CollectionSpec, row: Mapping[str, Any]) -> Entity:
    """Return the entity of a row that was selected by `columns_of(spec.fields)`, with `tenant_id` besides.

    Raises:
        UnfitEntityError: a value cannot be mirrored as it is.
    """
    return {field.name: value_of(spec, field, row) for field in spec.fields}


def value_of(spec: CollectionSpec, field: Field, row: Mapping[str, Any]) -> Any:
    """Return the value of one field. Raises as `entity_of`."""
    found = row[field.name]
    match field.form:
        case Form.ENTITY_ID:
            return entity_id(row["tenant_id"], found)
        case Form.IS_SET:
            return found is not None
        case Form.TEXT:
            return _text(field, "" if found is None else found)
        case Form.SECONDS:
            return _seconds(field, found)
    if field.kind is Kind.VECTOR:
        return _vector(field, found, spec.dimensions)
    if found is None:
        raise UnfitEntityError(f"{field.name} is null")
    if field.kind is Kind.FLOAT:
        return _float(field, found)
    if field.kind in _RANGES:
        return _whole(field, found)
    return found


def _text(field: Field, value: str) -> str:
    size = len(value.encode())
    if field.max_length is not None and size > field.max_length:
        raise UnfitEntityError(f"{field.name} has {size:,} bytes, more than {field.max_length:,}")
    return value


def _seconds(field: Field, value: float | None) -> int:
    if value is None:
        return 0
    if not math.isfinite(value):
        raise UnfitEntityError(f"{field.name} is at infinity")
    # 0 is never: the first second of 1970 becomes the next.
    return _whole(field, math.floor(value)) or 1


def _whole(field: Field, value: int) -> int:
    low, high = _RANGES[field.kind]
    if not low <= value <= high:
        raise UnfitEntityError(f"{field.name} is {value}, not within {low} and {high}")
    return value


def _float(field: Field, value: float) -> float:
    if not abs(value) <= _LARGEST_FLOAT:
        raise UnfitEntityError(f"{field.name} is {value}")
    return float(value)


def _vector(field: Field, value: Any, dimensions: int | None) -> Any:
    if value is None:
        raise UnfitEntityError(f"{field.name} is null")
    received = value.to_numpy() if hasattr(value, "to_numpy") else value
    vector = np.asarray(received, dtype=np.float32)
    if vector.shape != (dimensions,):
        raise UnfitEntityError(f"{field.name} is of shape {vector.shape}, not ({dimensions},)")
    if not np.isfinite(vector).all():
        raise UnfitEntityError(f"{field.name} is not finite")
    with np.errstate(over="ignore"):
        square = float(np.dot(vector, vector))
    if not 0 < square < math.inf:
        raise UnfitEntityError(f"{field.name} has no cosine: the sum of its squares is zero, or too large")
    return vector
