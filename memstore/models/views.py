"""What the database works out by itself, to read only: it refuses to write to a view, and so does the ORM."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from sqlalchemy import MetaData, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .base import SCHEMA, UserOwned, column_types
from .vocabulary import DecayTier, MemoryType, NeuroType, Severity

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapper


class View(DeclarativeBase):
    """Every view of memstore. The tables' metadata knows nothing of them: they are no tables to create or compare."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[dict[Any, Any]] = column_types()

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-2)


@event.listens_for(View, "before_insert", propagate=True)
@event.listens_for(View, "before_update", propagate=True)
@event.listens_for(View, "before_delete", propagate=True)
def _refuse(mapper: Mapper[Any], _connection: object, _row: object) -> None:
    raise TypeError(f"{mapper.class_.__name__} is a view, to read only. Write to the tables that it reads")


class AgentStats(View):
    """What an agent has done. Zeros, and no `last_activity_at`, where it has done nothing."""

    __tablename__ = "agent_stats"

    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    total_sessions: Mapped[int]
    active_sessions: Mapped[int]
    total_activities: Mapped[int]
    successful_activities: Mapped[int]
    failed_activities: Mapped[int]
    avg_duration_ms: Mapped[float]
    total_cost: Mapped[Decimal]
    last_activity_at: Mapped[datetime | None]


class RecentFeedbackSummary(View):
    """Feedback of the last 7 days, counted by agent, type and severity; `agent_id` is None for that of no agent."""

    __tablename__ = "recent_feedback_summary"
    __mapper_args__ = {"allow_partial_pks": True}

    agent_id: Mapped[UUID | None] = mapped_column(primary_key=True)
    feedback_type: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[Severity] = mapped_column(primary_key=True)
    total: Mapped[int]
    unresolved: Mapped[int]
    resolved: Mapped[int]
    last_feedback_at: Mapped[datetime]


class ActiveMemory(UserOwned, View):
    """A memory that is neither deleted nor expired, with its `decay_score` from 0 to 1."""

    __tablename__ = "active_memories"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    conversation_id: Mapped[str | None]
    sequence_index: Mapped[int | None]
    key: Mapped[str | None]
    human_content: Mapped[str | None]
    assistant_content: Mapped[str | None]
    content: Mapped[str | None]
    source: Mapped[str | None]
    tags: Mapped[dict[str, Any]] = mapped_column(JSONB)
    memory_type: Mapped[MemoryType]
    neuro_type: Mapped[NeuroType]
    importance: Mapped[int]
    decay_tier: Mapped[DecayTier | None]
    expiry: Mapped[datetime | None]
    access_count: Mapped[int]
    last_accessed: Mapped[datetime | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int]
    decay_score: Mapped[float]


class VectorSearchStats(View):
    """How many embeddings a tenant has, by source type and model."""

    __tablename__ = "vector_search_stats"

    source_type: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    dimensions: Mapped[int]
    total_embeddings: Mapped[int]
    total_sources: Mapped[int]
    first_created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
