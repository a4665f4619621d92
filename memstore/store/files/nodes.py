"""Memories as nodes of a file corpus: its 24 keys, and further ones for what only memstore knows."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ...models import (
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    NeuroType,
    Urgency,
)
from ..lifecycle import expiry
from ..memories import Memory, NewMemory
from ..validation import checked_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

FOREIGN_KEYS = (
    "id",
    "conversation_id",
    "sequence_index",
    "human_content",
    "assistant_content",
    "source",
    "created_at",
    "user_id",
    "tenant_id",
    "intent_type",
    "complexity",
    "technical_depth",
    "emotional_valence",
    "urgency",
    "conversation_mode",
    "action_required",
    "has_code",
    "has_error",
    "tags",
    "cluster_id",
    "cluster_label",
    "cluster_confidence",
    "access_count",
    "last_accessed",
)
"""The keys that every corpus has."""

_IDENTITIES = ("user_id", "agent_id", "session_id")
_TIMES = ("created_at", "last_accessed", "expires_at", "deleted_at", "updated_at")
_VOCABULARIES: dict[str, Mapping[str, Any]] = {
    name: {word.value: word for word in words}
    for name, words in {
        "intent_type": IntentType,
        "complexity": Complexity,
        "emotional_valence": EmotionalValence,
        "urgency": Urgency,
        "conversation_mode": ConversationMode,
        "memory_type": MemoryType,
        "neuro_type": NeuroType,
        "decay_tier": DecayTier,
    }.items()
}
_WORKED_OUT = ("tenant_id", "expiry", "embedding")
_KEPT = [each.name for each in fields(Memory) if each.name not in _WORKED_OUT]
_OF_JSON: dict[Any, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "Mapping[str, Any]": (dict,),
}
# Of what types values may be that are kept as JSON has them: anybody may have edited the file.
_PLAIN = {
    each.name: (*_OF_JSON[kind], *([type(None)] if each.type.endswith("| None") else []))
    for each in fields(Memory)
    if isinstance(each.type, str) and (kind := each.type.removesuffix(" | None")) in _OF_JSON
}
_KEYS = [*FOREIGN_KEYS, *(name for name in _KEPT if name not in FOREIGN_KEYS)]
_MOST = 2**31 - 1


def exchange_id(conversation_id: str | None, sequence_index: int | None, human_content: str) -> str:
    """Return the id of an exchange that has none: `mem_` and 16 hex digits, the same in every export of it."""
    named = f"{conversation_id}:{sequence_index}:{human_content[:100]}"
    return f"mem_{hashlib.sha256(named.encode()).hexdigest()[:16]}"


def node_of(memory: Memory, *, has_embedding: bool) -> dict[str, Any]:
    """Return a memory as a node. Its tenant is not in it: that is the folder's name."""
    node: dict[str, Any] = {name: None if name == "tenant_id" else getattr(memory, name) for name in _KEYS}
    for name in _IDENTITIES:
        if node[name] is not None:
            node[name] = str(node[name])
    for name in _TIMES:
        if node[name] is not None:
            node[name] = node[name].isoformat()
    return node | {"has_embedding": has_embedding}


def is_stored(node: Mapping[str, Any]) -> bool:
    """Tell whether a node is of a `FileStore`: one that was made elsewhere may have either key, and mean its own."""
    return "has_embedding" in node and "version" in node


def memory_of(node: dict[str, Any], tenant_id: UUID, now: datetime) -> tuple[Memory, bool]:
    """Return the memory of a node, and whether its row of the vectors is an embedding.

    A node that was made elsewhere is checked, and gets the defaults that importing it would give; `now` is when it was
    created if it does not say so.

    Raises:
        MemstoreError, KeyError, TypeError, ValueError: it is no node.
    """
    if not is_stored(node):
        return _foreign(node, tenant_id, now), True
    values = {name: node[name] for name in _KEPT}
    for name, types in _PLAIN.items():
        if type(values[name]) not in types:
            raise TypeError(f"{name} is of type {type(values[name]).__name__}")
    for name in _IDENTITIES:
        if values[name] is not None:
            values[name] = UUID(values[name])
    for name in _TIMES:
        if values[name] is not None:
            values[name] = datetime.fromisoformat(values[name])
    for name, words in _VOCABULARIES.items():
        if values[name] is not None:
            values[name] = words[values[name]]
    return with_expiry(values | {"tenant_id": tenant_id}), bool(node["has_embedding"])


def with_expiry(values: Mapping[str, Any]) -> Memory:
    """Return the memory of these values, which are all but `expiry`."""
    return Memory(**values, expiry=expiry(values["created_at"], values["decay_tier"], values["expires_at"]))


def _foreign(node: dict[str, Any], tenant_id: UUID, now: datetime) -> Memory:
    known = {key: node[key] for key in FOREIGN_KEYS if node.get(key) is not None}
    metadata = {key: value for key, value in node.items() if key not in FOREIGN_KEYS}
    owner, accesses, accessed = (known.pop(key, None) for key in ("user_id", "access_count", "last_accessed"))
    user_id = _user(owner)
    if owner is not None and user_id is None:
        metadata["user_id"] = owner
    elsewhere = known.pop("tenant_id", None)
    if elsewhere not in (None, str(tenant_id)):
        metadata["tenant_id"] = elsewhere
    if "id" not in known:
        known["id"] = exchange_id(known.get("conversation_id"), known.get("sequence_index"), known["human_content"])
    created_at = _time("created_at", known.pop("created_at", None)) or now
    values = checked_memory(NewMemory(**known, user_id=user_id, metadata=metadata, created_at=created_at), None)
    del values["embedding"]
    if not 0 <= (accesses or 0) <= _MOST:
        raise ValueError(f"access_count is {accesses}. Needed: 0 to {_MOST}")
    return with_expiry(
        values
        | {
            "tenant_id": tenant_id,
            "access_count": accesses or 0,
            "last_accessed": _time("last_accessed", accessed),
            "deleted_at": None,
            "updated_at": created_at,
            "version": 1,
        }
    )


def _user(owner: Any) -> UUID | None:
    try:
        return UUID(owner)
    except (ValueError, TypeError, AttributeError):
        return None


def _time(field: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field} is {text!r}. Needed: an ISO 8601 time") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
