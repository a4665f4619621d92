"""Which memories are meant: what `list`, `count` and `search` are narrowed by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .memories import EMPTY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from ..models import DecayTier, MemoryType, NeuroType


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which memories of a scope are meant; all that is given must hold, and what is None does not matter.

    Where one value may be given so may several, of which one must hold; an empty collection matches nothing.

    tags_any, tags_all: at least one of these tags, all of them, whichever list of `tags` (domains, topics, ...) each
        is in.
    created_from, created_to: from the first moment on, and before the second; naive times are UTC.
    importance_min, importance_max: both included.
    metadata: what `metadata` holds, among other things: PostgreSQL's containment of jsonb (`@>`).
    include_deleted, include_expired: also those that were deleted softly, that have expired.
    """

    conversation_id: str | Collection[str] | None = None
    session_id: UUID | Collection[UUID] | None = None
    agent_id: UUID | Collection[UUID] | None = None
    user_id: UUID | Collection[UUID] | None = None
    source: str | Collection[str] | None = None
    memory_type: MemoryType | Collection[MemoryType] | None = None
    neuro_type: NeuroType | Collection[NeuroType] | None = None
    decay_tier: DecayTier | Collection[DecayTier] | None = None
    cluster_id: int | Collection[int] | None = None
    tags_any: Collection[str] | None = None
    tags_all: Collection[str] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    importance_min: int | None = None
    importance_max: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    include_deleted: bool = False
    include_expired: bool = False


NO_FILTERS = Filters()
