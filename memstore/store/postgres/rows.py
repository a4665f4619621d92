"""Rows of `memstore.memory_nodes` as memories, and the columns that are written."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

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
from ..memories import Memory
from .codecs import array_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    import asyncpg

TABLE = "memstore.memory_nodes"
WRITTEN = {
    "id": "text",
    "user_id": "uuid",
    "agent_id": "uuid",
    "session_id": "uuid",
    "conversation_id": "text",
    "sequence_index": "integer",
    "key": "text",
    "human_content": "text",
    "assistant_content": "text",
    "content": "text",
    "source": "text",
    "intent_type": "text",
    "complexity": "text",
    "technical_depth": "smallint",
    "emotional_valence": "text",
    "urgency": "text",
    "conversation_mode": "text",
    "action_required": "boolean",
    "has_code": "boolean",
    "has_error": "boolean",
    "tags": "jsonb",
    "cluster_id": "integer",
    "cluster_label": "text",
    "cluster_confidence": "real",
    "memory_type": "text",
    "neuro_type": "text",
    "importance": "smallint",
    "decay_tier": "text",
    "decay_lambda": "real",
    "importance_decay": "real",
    "ui_source": "text",
    "ai_generated": "boolean",
    "user_confirmed": "boolean",
    "expires_at": "timestamptz",
    "metadata": "jsonb",
    "embedding": "vector",
    "embedding_model": "text",
    "created_at": "timestamptz",
}
"""The columns of a new memory, and what they are sent as."""

_NAMES = tuple(each.name for each in fields(Memory) if each.name != "embedding")
COLUMNS = ", ".join(f"m.{name}" for name in _NAMES)
"""What is selected for a `Memory`, of a table called m; `WITH_EMBEDDING` has its vector too."""
WITH_EMBEDDING = f"{COLUMNS}, m.embedding"

_SLOTS: tuple[Callable[[Memory, Any], None], ...] = tuple(getattr(Memory, name).__set__ for name in _NAMES)
_EMBEDDING: Callable[[Memory, Any], None] = Memory.__dict__["embedding"].__set__
_VOCABULARIES: dict[str, type[StrEnum]] = {
    "intent_type": IntentType,
    "complexity": Complexity,
    "emotional_valence": EmotionalValence,
    "urgency": Urgency,
    "conversation_mode": ConversationMode,
    "memory_type": MemoryType,
    "neuro_type": NeuroType,
    "decay_tier": DecayTier,
}
_WORDS = tuple(
    (_NAMES.index(name), _SLOTS[_NAMES.index(name)], {word.value: word for word in words})
    for name, words in _VOCABULARIES.items()
)


def columns(*, with_embedding: bool) -> str:
    """Return what is selected for a `Memory`, of a table called m."""
    return WITH_EMBEDDING if with_embedding else COLUMNS


def memory_of(record: asyncpg.Record, *, with_embedding: bool = False) -> Memory:
    """Return the memory of a row that begins with `columns()`."""
    # Slot by slot: the __init__ of a frozen dataclass takes most of the time that a search has left for its rows.
    memory = object.__new__(Memory)
    for fill, value in zip(_SLOTS, record, strict=False):
        fill(memory, value)
    for place, fill, words in _WORDS:
        if (word := record[place]) is not None:
            fill(memory, words[word])
    vector = record["embedding"] if with_embedding else None
    _EMBEDDING(memory, None if vector is None else array_of(vector))
    return memory


def parameter(name: str, value: Any) -> Any:
    """Return a checked value as asyncpg takes it for a column."""
    if name == "embedding" and value is not None:
        from pgvector import Vector  # with pgvector 0.4 it imports numpy

        return Vector(value)
    return value
