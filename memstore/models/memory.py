"""The memory node: what an agent remembers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from .agents import Agent, Session
from .base import Base, TenantOwned, UserOwned, Versioned
from .constraints import has_cosine, in_range, json_is, not_empty, not_negative, one_of, tenant_foreign_key, words_of
from .relations import children, parent
from .tenancy import User
from .types import (
    EmbeddingBits,
    EmbeddingVector,
    bool_false,
    count,
    json_object,
    real,
    small,
    str_50,
    str_100,
    str_255,
    words,
)
from .vocabulary import (
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    NeuroType,
    Urgency,
)

if TYPE_CHECKING:
    from .episodes import EpisodeNode, MemoryRelationship

# In UTC a day has 24 hours, which makes adding one immutable.
EXPIRY = (
    "CASE WHEN decay_tier = 'pinned' THEN NULL ELSE coalesce(expires_at, (created_at AT TIME ZONE 'UTC'"
    " + CASE decay_tier WHEN 'short' THEN interval '7 days' WHEN 'medium' THEN interval '30 days'"
    " WHEN 'long' THEN interval '180 days' END) AT TIME ZONE 'UTC') END"
)


class MemoryNode(TenantOwned, UserOwned, Versioned, Base):
    """One thing remembered: a question with its answer, a fact, a preference, an insight.

    A memory without a user belongs to the whole tenant. It is live while `deleted_at` is null and `expiry` is null
    or in the future; recording an access changes neither its version nor `updated_at`.
    """

    __tablename__ = "memory_nodes"
    __table_args__ = (
        tenant_foreign_key("user_id", User, ondelete="CASCADE"),
        tenant_foreign_key("agent_id", Agent, ondelete="SET NULL (agent_id)"),
        tenant_foreign_key("session_id", Session, ondelete="SET NULL (session_id)"),
        CheckConstraint("content IS NOT NULL OR human_content IS NOT NULL", name="has_text"),
        has_cosine("embedding"),
        not_empty("id"),
        one_of("intent_type", IntentType),
        one_of("complexity", Complexity),
        one_of("emotional_valence", EmotionalValence),
        one_of("urgency", Urgency),
        one_of("conversation_mode", ConversationMode),
        one_of("memory_type", MemoryType),
        one_of("neuro_type", NeuroType),
        one_of("decay_tier", DecayTier),
        not_negative("sequence_index"),
        in_range("technical_depth", 0, 10),
        CheckConstraint("cluster_id >= -1", name="cluster_id_range"),
        in_range("cluster_confidence", 0, 1),
        in_range("importance", 1, 10),
        in_range("importance_decay", 0, 1),
        in_range("decay_lambda", 0, 100),
        not_negative("access_count"),
        json_is("tags", "object"),
        json_is("metadata", "object"),
        Index(
            "uq_memory_nodes_tenant_id_agent_id_user_id_key",
            "tenant_id",
            "agent_id",
            "user_id",
            "key",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("key IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index("ix_memory_nodes_tenant_id_user_id_created_at", "tenant_id", "user_id", text("created_at DESC")),
        Index(None, "tenant_id", "created_at", postgresql_where=text("deleted_at IS NULL")),
        Index(
            None,
            "tenant_id",
            "conversation_id",
            "sequence_index",
            postgresql_where=text("conversation_id IS NOT NULL"),
        ),
        Index(None, "tenant_id", "agent_id", postgresql_where=text("agent_id IS NOT NULL")),
        Index(None, "tenant_id", "session_id", postgresql_where=text("session_id IS NOT NULL")),
        Index(None, "tenant_id", "expiry", postgresql_where=text("expiry IS NOT NULL")),
        Index(None, "search_vector", postgresql_using="gin"),
        Index(None, "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
        Index(
            "ix_memory_nodes_tenant_id_user_id_id_bits",
            "tenant_id",
            "user_id",
            "id",
            postgresql_include=["embedding_bits", "expiry"],
            postgresql_where=text("deleted_at IS NULL"),
        ),
        {"comment": "memories: the unit of what agents remember"},
    )

    id: Mapped[str_255] = mapped_column(primary_key=True, comment="'mem_' and 16 hex digits for imported exchanges")

    agent_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    conversation_id: Mapped[str_255 | None] = mapped_column(comment="the application's id of the conversation")
    sequence_index: Mapped[int | None] = mapped_column(comment="place in the conversation, from 0")
    key: Mapped[str_255 | None] = mapped_column(comment="natural key of a fact, one live row for each agent and user")

    human_content: Mapped[str | None] = mapped_column(comment="what the human said in an exchange")
    assistant_content: Mapped[str | None] = mapped_column(comment="what the assistant answered")
    content: Mapped[str | None] = mapped_column(comment="the text of any other memory")
    search_vector: Mapped[words | None] = mapped_column(
        words_of("human_content", "assistant_content", "content"),
        deferred=True,
        deferred_raiseload=True,
        comment="lexemes of all texts, English",
    )

    source: Mapped[str_50 | None] = mapped_column(comment="where it was imported from")
    intent_type: Mapped[IntentType | None]
    complexity: Mapped[Complexity | None]
    technical_depth: Mapped[small | None] = mapped_column(comment="0 (none) to 10")
    emotional_valence: Mapped[EmotionalValence | None]
    urgency: Mapped[Urgency | None]
    conversation_mode: Mapped[ConversationMode | None]
    action_required: Mapped[bool_false]
    has_code: Mapped[bool_false]
    has_error: Mapped[bool_false]
    tags: Mapped[json_object] = mapped_column(comment="lists of strings under domains, topics, entities, processes")

    cluster_id: Mapped[int | None] = mapped_column(comment="-1 is noise")
    cluster_label: Mapped[str_255 | None]
    cluster_confidence: Mapped[real | None] = mapped_column(comment="0 to 1")

    memory_type: Mapped[MemoryType] = mapped_column(
        server_default=MemoryType.GENERAL, comment="what it is for the application"
    )
    neuro_type: Mapped[NeuroType] = mapped_column(
        server_default=NeuroType.EPISODIC, comment="which human memory it is like; sets the default decay"
    )
    importance: Mapped[small] = mapped_column(server_default=text("5"), comment="1 to 10")
    decay_tier: Mapped[DecayTier | None] = mapped_column(comment="null: none was chosen, nothing expires by itself")
    decay_lambda: Mapped[real | None] = mapped_column(comment="decay per day; null: by neuro_type")
    importance_decay: Mapped[real] = mapped_column(server_default=text("1.0"), comment="0 to 1")
    ui_source: Mapped[str_50] = mapped_column(server_default="api", comment="where in the application it was made")
    ai_generated: Mapped[bool_false] = mapped_column(comment="a model wrote it, nobody said it")
    user_confirmed: Mapped[bool_false] = mapped_column(comment="the user has said that it is right")
    expires_at: Mapped[datetime | None] = mapped_column(comment="what the application asked for; see expiry")
    expiry: Mapped[datetime | None] = mapped_column(
        Computed(EXPIRY, persisted=True),
        comment="when it really expires: pinned never, else expires_at, else by tier",
    )
    access_count: Mapped[count]
    last_accessed: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None] = mapped_column(comment="soft delete")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    embedding: Mapped[list[float] | None] = mapped_column(
        EmbeddingVector(), comment="as wide as settings.embedding_dim says"
    )
    embedding_model: Mapped[str_100 | None]
    embedding_bits: Mapped[str | None] = mapped_column(
        EmbeddingBits(),
        Computed("binary_quantize(embedding)", persisted=True),
        deferred=True,
        deferred_raiseload=True,
        comment="one bit for each dimension: above zero or not",
    )

    user: Mapped[User | None] = parent("MemoryNode.user_id", "User", reverse="memories")
    agent: Mapped[Agent | None] = parent("MemoryNode.agent_id", "Agent", reverse="memories")
    session: Mapped[Session | None] = parent("MemoryNode.session_id", "Session", reverse="memories")
    episode_nodes: Mapped[list[EpisodeNode]] = children("EpisodeNode.node_id", "MemoryNode", reverse="node")
    outgoing: Mapped[list[MemoryRelationship]] = children(
        "MemoryRelationship.source_id", "MemoryNode", reverse="source"
    )
    incoming: Mapped[list[MemoryRelationship]] = children(
        "MemoryRelationship.target_id", "MemoryNode", reverse="target"
    )
