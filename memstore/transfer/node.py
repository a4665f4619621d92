"""The shapes that one exchange of a corpus may have, and what may be in it."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from ..models.vocabulary import (
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    NeuroType,
    Urgency,
)

_INT4 = 2**31 - 1
_Id = Annotated[str, Meta(min_length=1, max_length=255)]
_Text50 = Annotated[str, Meta(max_length=50)]
_Text255 = Annotated[str, Meta(max_length=255)]
_Count = Annotated[int, Meta(ge=0, le=_INT4)]
VOCABULARIES = {
    "intent_type": IntentType,
    "complexity": Complexity,
    "emotional_valence": EmotionalValence,
    "urgency": Urgency,
    "conversation_mode": ConversationMode,
    "memory_type": MemoryType,
    "neuro_type": NeuroType,
    "decay_tier": DecayTier,
}


class _Exchange(Struct, kw_only=True):
    """What every node may have. Times are ISO 8601, naive ones are UTC."""

    conversation_id: _Text255 | None = None
    sequence_index: _Count | None = None
    assistant_content: str | None = None
    source: _Text50 | None = None
    created_at: str | None = None
    tenant_id: str | None = None
    intent_type: IntentType | None = None
    complexity: Complexity | None = None
    technical_depth: Annotated[int, Meta(ge=0, le=10)] | None = None
    emotional_valence: EmotionalValence | None = None
    urgency: Urgency | None = None
    conversation_mode: ConversationMode | None = None
    action_required: bool | None = None
    has_code: bool | None = None
    has_error: bool | None = None
    tags: dict[str, Any] | None = None
    cluster_id: Annotated[int, Meta(ge=-1, le=_INT4)] | None = None
    cluster_label: _Text255 | None = None
    cluster_confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    access_count: _Count | None = None
    last_accessed: str | None = None


class Node(_Exchange, kw_only=True, forbid_unknown_fields=True):
    """An exchange of a corpus that was made elsewhere."""

    human_content: str
    id: _Id | None = None
    user_id: str | None = None


class StoredNode(_Exchange, kw_only=True, forbid_unknown_fields=True):
    """A memory of a `FileStore`, which has all that the database has; see `is_stored`."""

    id: _Id
    has_embedding: bool
    version: Annotated[int, Meta(ge=1, le=_INT4)]
    human_content: str | None = None
    content: str | None = None
    key: _Text255 | None = None
    user_id: UUID | None = None
    agent_id: UUID | None = None
    session_id: UUID | None = None
    memory_type: MemoryType = MemoryType.GENERAL
    neuro_type: NeuroType = NeuroType.EPISODIC
    importance: Annotated[int, Meta(ge=1, le=10)] = 5
    decay_tier: DecayTier | None = None
    decay_lambda: Annotated[float, Meta(ge=0, le=100)] | None = None
    importance_decay: Annotated[float, Meta(ge=0, le=1)] = 1.0
    ui_source: _Text50 = "api"
    ai_generated: bool = False
    user_confirmed: bool = False
    expires_at: str | None = None
    deleted_at: str | None = None
    updated_at: str | None = None
    metadata: dict[str, Any] = {}
    embedding_model: Annotated[str, Meta(max_length=100)] | None = None
