"""The directory: who there is, and whose what is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Versioned, tenant_isolation
from .constraints import json_is, not_empty, one_of
from .relations import children, owned, parent
from .types import json_object, str_50, str_255, str_320, uuid_key
from .vocabulary import TenantKind

if TYPE_CHECKING:
    from .agents import Agent, Session
    from .audit import MemoryAccess, SearchMetric
    from .documents import Document, DocumentChunk
    from .embeddings import Embedding
    from .episodes import EpisodeNode, EpisodicMemory, MemoryRelationship
    from .memory import MemoryNode
    from .mirror import MirrorRejection
    from .observability import Activity, Evaluation, Feedback, Metric
    from .statistics import SearchStatistics, WordStatistics
    from .tools import AgentTool, Tool


class Tenant(Versioned, Base):
    """An organisation, or the private space of one person.

    A personal tenant has the id of its user and is made by the database when a user is inserted without a tenant.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("external_id"),
        one_of("kind", TenantKind),
        not_empty("name"),
        json_is("config", "object"),
        {"comment": "organisations, and the private space of each person", "info": tenant_isolation("id")},
    )

    id: Mapped[uuid_key]
    kind: Mapped[TenantKind] = mapped_column(server_default=TenantKind.ENTERPRISE)
    name: Mapped[str_255]
    external_id: Mapped[str_255 | None] = mapped_column(comment="the identity provider's id of this tenant")
    config: Mapped[json_object] = mapped_column(comment="settings of this tenant, free-form")

    users: Mapped[list[User]] = owned("User")
    agents: Mapped[list[Agent]] = owned("Agent")
    sessions: Mapped[list[Session]] = owned("Session")
    tools: Mapped[list[Tool]] = owned("Tool")
    agent_tools: Mapped[list[AgentTool]] = owned("AgentTool")
    memory_nodes: Mapped[list[MemoryNode]] = owned("MemoryNode")
    episodic_memories: Mapped[list[EpisodicMemory]] = owned("EpisodicMemory")
    episode_nodes: Mapped[list[EpisodeNode]] = owned("EpisodeNode")
    memory_relationships: Mapped[list[MemoryRelationship]] = owned("MemoryRelationship")
    documents: Mapped[list[Document]] = owned("Document")
    document_chunks: Mapped[list[DocumentChunk]] = owned("DocumentChunk")
    embeddings: Mapped[list[Embedding]] = owned("Embedding")
    activities: Mapped[list[Activity]] = owned("Activity")
    metrics: Mapped[list[Metric]] = owned("Metric")
    evaluations: Mapped[list[Evaluation]] = owned("Evaluation")
    feedback: Mapped[list[Feedback]] = owned("Feedback")
    memory_access_log: Mapped[list[MemoryAccess]] = owned("MemoryAccess")
    search_metrics: Mapped[list[SearchMetric]] = owned("SearchMetric")
    search_statistics: Mapped[list[SearchStatistics]] = owned("SearchStatistics")
    word_statistics: Mapped[list[WordStatistics]] = owned("WordStatistics")
    mirror_rejections: Mapped[list[MirrorRejection]] = owned("MirrorRejection")


class User(Versioned, Base):
    """A person, as an identity provider knows them, in exactly one tenant."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("auth_provider", "external_id"),
        UniqueConstraint("tenant_id", "id"),  # the target of composite foreign keys
        not_empty("auth_provider"),
        not_empty("external_id"),
        {
            "comment": "people, each in one tenant; inserted without a tenant, a user gets a personal one",
            "info": tenant_isolation(),
        },
    )

    id: Mapped[uuid_key]
    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), server_default=text("memstore.current_tenant()")
    )
    auth_provider: Mapped[str_50] = mapped_column(comment="who vouches for this person, such as 'local' or 'google'")
    external_id: Mapped[str_255] = mapped_column(comment="the identity provider's id of this person")
    email: Mapped[str_320 | None]
    display_name: Mapped[str_255 | None]

    tenant: Mapped[Tenant] = parent("User.tenant_id", "Tenant", reverse="users")
    sessions: Mapped[list[Session]] = children("Session.user_id", "User", reverse="user")
    memories: Mapped[list[MemoryNode]] = children("MemoryNode.user_id", "User", reverse="user")
    episodes: Mapped[list[EpisodicMemory]] = children("EpisodicMemory.user_id", "User", reverse="user")
    accesses: Mapped[list[MemoryAccess]] = children("MemoryAccess.user_id", "User", reverse="user")
