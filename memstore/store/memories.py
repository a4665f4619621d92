"""What a store takes and gives: a memory to be added, a memory as it is kept, and a change to one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from ..models import MemoryType, NeuroType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from numpy.typing import ArrayLike, NDArray

    from ..models import Complexity, ConversationMode, DecayTier, EmotionalValence, IntentType, Urgency

EMPTY: Mapping[str, Any] = MappingProxyType({})


class _Unset(Enum):
    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset.UNSET
"""What a `MemoryChange` leaves as it is; None would make it null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory to be added. It needs `content`, or `human_content` for an exchange.

    id: 1 to 255 characters, unique in its tenant; made from a random UUID when None.
    user_id: whose it is; in a user's scope the user's. None: everybody's in the tenant.
    embedding: shape (D,), D being the width of the store's embeddings; None: it cannot be found by a vector.
    created_at: when it was said; now when None.

    The rest as `memstore.models.MemoryNode` has it.
    """

    id: str | None = None
    user_id: UUID | None = None
    agent_id: UUID | None = None
    session_id: UUID | None = None
    conversation_id: str | None = None
    sequence_index: int | None = None
    key: str | None = None
    human_content: str | None = None
    assistant_content: str | None = None
    content: str | None = None
    source: str | None = None
    intent_type: IntentType | None = None
    complexity: Complexity | None = None
    technical_depth: int | None = None
    emotional_valence: EmotionalValence | None = None
    urgency: Urgency | None = None
    conversation_mode: ConversationMode | None = None
    action_required: bool = False
    has_code: bool = False
    has_error: bool = False
    tags: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    cluster_id: int | None = None
    cluster_label: str | None = None
    cluster_confidence: float | None = None
    memory_type: MemoryType = MemoryType.GENERAL
    neuro_type: NeuroType = NeuroType.EPISODIC
    importance: int = 5
    decay_tier: DecayTier | None = None
    decay_lambda: float | None = None
    importance_decay: float = 1.0
    ui_source: str = "api"
    ai_generated: bool = False
    user_confirmed: bool = False
    expires_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    embedding: ArrayLike | None = field(default=None, repr=False, compare=False)
    embedding_model: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A memory as a store keeps it.

    expiry: when it really expires, None: never; worked out from `expires_at`, `decay_tier` and `created_at`.
    deleted_at: when it was deleted softly.
    embedding: shape (D,), float32; None where there is none, and where it was not asked for.
    version: 1, and one more with each change; recording an access is none.
    """

    tenant_id: UUID
    id: str
    user_id: UUID | None
    agent_id: UUID | None
    session_id: UUID | None
    conversation_id: str | None
    sequence_index: int | None
    key: str | None
    human_content: str | None
    assistant_content: str | None
    content: str | None
    source: str | None
    intent_type: IntentType | None
    complexity: Complexity | None
    technical_depth: int | None
    emotional_valence: EmotionalValence | None
    urgency: Urgency | None
    conversation_mode: ConversationMode | None
    action_required: bool
    has_code: bool
    has_error: bool
    tags: Mapping[str, Any]
    cluster_id: int | None
    cluster_label: str | None
    cluster_confidence: float | None
    memory_type: MemoryType
    neuro_type: NeuroType
    importance: int
    decay_tier: DecayTier | None
    decay_lambda: float | None
    importance_decay: float
    ui_source: str
    ai_generated: bool
    user_confirmed: bool
    expires_at: datetime | None
    expiry: datetime | None
    access_count: int
    last_accessed: datetime | None
    deleted_at: datetime | None
    metadata: Mapping[str, Any]
    embedding_model: str | None
    created_at: datetime
    updated_at: datetime
    version: int
    embedding: NDArray[Any] | None = field(default=None, repr=False, compare=False)


Unset = Literal[_Unset.UNSET]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryChange:
    """What to change in a memory: what is UNSET stays, None makes null. Its place in the tenant stays as it is.

    `deleted_at=None` brings back a memory that was deleted softly.
    """

    agent_id: UUID | Unset | None = UNSET
    session_id: UUID | Unset | None = UNSET
    conversation_id: str | Unset | None = UNSET
    sequence_index: int | Unset | None = UNSET
    key: str | Unset | None = UNSET
    human_content: str | Unset | None = UNSET
    assistant_content: str | Unset | None = UNSET
    content: str | Unset | None = UNSET
    source: str | Unset | None = UNSET
    intent_type: IntentType | Unset | None = UNSET
    complexity: Complexity | Unset | None = UNSET
    technical_depth: int | Unset | None = UNSET
    emotional_valence: EmotionalValence | Unset | None = UNSET
    urgency: Urgency | Unset | None = UNSET
    conversation_mode: ConversationMode | Unset | None = UNSET
    action_required: bool | Unset = UNSET
    has_code: bool | Unset = UNSET
    has_error: bool | Unset = UNSET
    tags: Mapping[str, Any] | Unset = UNSET
    cluster_id: int | Unset | None = UNSET
    cluster_label: str | Unset | None = UNSET
    cluster_confidence: float | Unset | None = UNSET
    memory_type: MemoryType | Unset = UNSET
    neuro_type: NeuroType | Unset = UNSET
    importance: int | Unset = UNSET
    decay_tier: DecayTier | Unset | None = UNSET
    decay_lambda: float | Unset | None = UNSET
    importance_decay: float | Unset = UNSET
    ui_source: str | Unset = UNSET
    ai_generated: bool | Unset = UNSET
    user_confirmed: bool | Unset = UNSET
    expires_at: datetime | Unset | None = UNSET
    deleted_at: datetime | Unset | None = UNSET
    metadata: Mapping[str, Any] | Unset = UNSET
    embedding: ArrayLike | Unset | None = field(default=UNSET, repr=False, compare=False)
    embedding_model: str | Unset | None = UNSET

    def values(self) -> dict[str, Any]:
        """Return what is to be changed, by name."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in named if value is not UNSET}
