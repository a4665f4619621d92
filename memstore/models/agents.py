"""Agents and their sessions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, TenantOwned, UserOwned, Versioned
from .constraints import in_range, json_is, not_empty, not_negative, one_of, tenant_foreign_key
from .relations import children, parent
from .tenancy import User
from .types import json_list, json_object, str_50, str_100, str_255, temperature, uuid_key
from .vocabulary import AgentStatus, SessionStatus

if TYPE_CHECKING:
    from .memory import MemoryNode
    from .observability import Activity, Evaluation, Feedback, Metric
    from .tools import AgentTool


class Agent(TenantOwned, Versioned, Base):
    """An AI agent of a tenant: who it is and which model it speaks through."""

    __tablename__ = "agents"
    __table_args__ = (
        one_of("status", AgentStatus),
        in_range("temperature", 0, 2),
        not_negative("max_tokens"),
        not_empty("name"),
        json_is("capabilities", "array"),
        json_is("metadata", "object"),
        {"comment": "AI agents, and the model each speaks through"},
    )

    id: Mapped[uuid_key]
    name: Mapped[str_255]
    description: Mapped[str | None]
    personality: Mapped[str | None]
    language: Mapped[str_50] = mapped_column(server_default="en", comment="BCP 47 tag of the language it speaks")
    status: Mapped[AgentStatus] = mapped_column(server_default=AgentStatus.DRAFT)
    llm_provider: Mapped[str_50 | None]
    llm_model: Mapped[str_100 | None]
    temperature: Mapped[temperature | None] = mapped_column(comment="sampling temperature, 0 to 2")
    max_tokens: Mapped[int | None] = mapped_column(comment="longest answer, in tokens of the model")
    behavior_name: Mapped[str_100 | None] = mapped_column(comment="the application's name for how it behaves")
    capabilities: Mapped[json_list] = mapped_column(comment="names of what it can do")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    sessions: Mapped[list[Session]] = children("Session.agent_id", "Agent", reverse="agent")
    memories: Mapped[list[MemoryNode]] = children("MemoryNode.agent_id", "Agent", reverse="agent")
    agent_tools: Mapped[list[AgentTool]] = children("AgentTool.agent_id", "Agent", reverse="agent")
    activities: Mapped[list[Activity]] = children("Activity.agent_id", "Agent", reverse="agent")
    metrics: Mapped[list[Metric]] = children("Metric.agent_id", "Agent", reverse="agent")
    evaluations: Mapped[list[Evaluation]] = children("Evaluation.agent_id", "Agent", reverse="agent")
    feedback: Mapped[list[Feedback]] = children("Feedback.agent_id", "Agent", reverse="agent")


class Session(TenantOwned, UserOwned, Versioned, Base):
    """One conversation between an agent and a user, with its working memory."""

    __tablename__ = "sessions"
    __table_args__ = (
        tenant_foreign_key("agent_id", Agent, ondelete="CASCADE"),
        tenant_foreign_key("user_id", User, ondelete="CASCADE"),
        one_of("status", SessionStatus),
        json_is("history", "array"),
        json_is("workspace", "object"),
        json_is("metadata", "object"),
        Index(None, "tenant_id", "agent_id"),
        Index(None, "tenant_id", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        Index(None, "expires_at", postgresql_where=text("status = 'active'")),
        Index(None, "updated_at", postgresql_where=text("status = 'closed'")),
        {"comment": "conversations between an agent and a user, with their working memory"},
    )

    id: Mapped[uuid_key]
    agent_id: Mapped[UUID]
    status: Mapped[SessionStatus] = mapped_column(server_default=SessionStatus.ACTIVE)
    history: Mapped[json_list] = mapped_column(comment="messages, oldest first")
    workspace: Mapped[json_object] = mapped_column(comment="working memory of this conversation")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")
    expires_at: Mapped[datetime] = mapped_column(comment="an active session past this moment has expired")

    agent: Mapped[Agent] = parent("Session.agent_id", "Agent", reverse="sessions")
    user: Mapped[User | None] = parent("Session.user_id", "User", reverse="sessions")
    memories: Mapped[list[MemoryNode]] = children("MemoryNode.session_id", "Session", reverse="session")
    activities: Mapped[list[Activity]] = children("Activity.session_id", "Session", reverse="session")
    feedback: Mapped[list[Feedback]] = children("Feedback.session_id", "Session", reverse="session")
