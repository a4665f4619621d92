"""Episodes, the nodes they hold, and what one memory is to another."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Created, TenantOwned, UserOwned, Versioned
from .constraints import (
    finite,
    has_cosine,
    in_range,
    json_is,
    not_empty,
    not_negative,
    one_of,
    tenant_foreign_key,
)
from .memory import MemoryNode
from .relations import children, parent
from .tenancy import User
from .types import EmbeddingVector, bool_false, count, json_list, json_object, real, str_50, str_255
from .vocabulary import Complexity, IntentType, RelationshipType, Urgency


class EpisodicMemory(TenantOwned, UserOwned, Versioned, Base):
    """A conversation as it is remembered: what it was about, how it went, and which memories came of it."""

    __tablename__ = "episodic_memories"
    __table_args__ = (
        tenant_foreign_key("user_id", User, ondelete="CASCADE"),
        not_empty("id"),
        json_is("messages", "array"),
        not_negative("message_count"),
        finite("duration_minutes"),
        json_is("llm_tags", "object"),
        one_of("dominant_intent", IntentType),
        one_of("avg_complexity", Complexity),
        in_range("avg_technical_depth", 0, 10),
        one_of("urgency_max", Urgency),
        not_negative("access_count"),
        json_is("metadata", "object"),
        has_cosine("embedding"),
        Index("ix_episodic_memories_tenant_id_user_id_created_at", "tenant_id", "user_id", text("created_at DESC")),
        {"comment": "conversations as they are remembered"},
    )

    id: Mapped[str_255] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    messages: Mapped[json_list] = mapped_column(comment="objects with role, content and created_at, oldest first")
    message_count: Mapped[count] = mapped_column(comment="how many there were, also where not all are kept")
    source: Mapped[str_50 | None] = mapped_column(comment="where it was imported from")
    duration_minutes: Mapped[real | None]
    llm_tags: Mapped[json_object] = mapped_column(
        comment="what a model made of it: outcome, key_entities, domains, ..."
    )
    summary: Mapped[str | None]
    dominant_intent: Mapped[IntentType | None]
    avg_complexity: Mapped[Complexity | None]
    avg_technical_depth: Mapped[real | None] = mapped_column(comment="0 (none) to 10")
    emotional_arc: Mapped[str | None] = mapped_column(comment="how the mood went")
    has_code: Mapped[bool_false]
    has_errors: Mapped[bool_false]
    urgency_max: Mapped[Urgency | None]
    access_count: Mapped[count]
    last_accessed: Mapped[datetime | None]
    embedding: Mapped[list[float] | None] = mapped_column(
        EmbeddingVector(), comment="as wide as settings.embedding_dim says"
    )
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    user: Mapped[User | None] = parent("EpisodicMemory.user_id", "User", reverse="episodes")
    episode_nodes: Mapped[list[EpisodeNode]] = children("EpisodeNode.episode_id", "EpisodicMemory", reverse="episode")


class EpisodeNode(TenantOwned, Base):
    """That an episode holds a memory, and at which place."""

    __tablename__ = "episode_nodes"
    __table_args__ = (
        tenant_foreign_key("episode_id", EpisodicMemory, ondelete="CASCADE"),
        tenant_foreign_key("node_id", MemoryNode, ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "episode_id", "position"),
        not_negative("position"),
        Index(None, "tenant_id", "node_id"),
        {"comment": "which memories an episode holds, in order"},
    )

    episode_id: Mapped[str_255] = mapped_column(primary_key=True)
    node_id: Mapped[str_255] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(comment="place in the episode, from 0")

    episode: Mapped[EpisodicMemory] = parent("EpisodeNode.episode_id", "EpisodicMemory", reverse="episode_nodes")
    node: Mapped[MemoryNode] = parent("EpisodeNode.node_id", "MemoryNode", reverse="episode_nodes")


class MemoryRelationship(TenantOwned, Created, Base):
    """What one memory, the source, is to another, the target."""

    __tablename__ = "memory_relationships"
    __table_args__ = (
        tenant_foreign_key("source_id", MemoryNode, ondelete="CASCADE"),
        tenant_foreign_key("target_id", MemoryNode, ondelete="CASCADE"),
        one_of("relationship_type", RelationshipType),
        CheckConstraint("source_id <> target_id", name="not_to_itself"),
        in_range("confidence", 0, 1),
        json_is("metadata", "object"),
        Index(None, "tenant_id", "target_id"),
        {"comment": "what one memory is to another: source supersedes target, and so on"},
    )

    source_id: Mapped[str_255] = mapped_column(primary_key=True)
    target_id: Mapped[str_255] = mapped_column(primary_key=True)
    relationship_type: Mapped[RelationshipType] = mapped_column(primary_key=True)
    confidence: Mapped[real] = mapped_column(server_default=text("1.0"), comment="0 to 1")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    source: Mapped[MemoryNode] = parent("MemoryRelationship.source_id", "MemoryNode", reverse="outgoing")
    target: Mapped[MemoryNode] = parent("MemoryRelationship.target_id", "MemoryNode", reverse="incoming")
