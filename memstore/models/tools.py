"""Tools, and which agents may use them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .agents import Agent
from .base import Base, TenantOwned, Versioned
from .constraints import finite, in_range, json_is, not_empty, one_of, tenant_foreign_key
from .relations import children, parent
from .types import bool_true, json_list, json_object, money, now, str_50, str_100, str_255, uuid_key
from .vocabulary import ToolStatus


class Tool(TenantOwned, Versioned, Base):
    """Something that agents can call: its name, its schemas, what a call costs."""

    __tablename__ = "tools"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        not_empty("name"),
        one_of("status", ToolStatus),
        in_range("timeout_seconds", 1, 86_400),
        finite("cost_per_call"),
        json_is("input_schema", "object"),
        json_is("output_schema", "object"),
        json_is("tags", "array"),
        json_is("examples", "array"),
        json_is("retry_config", "object"),
        json_is("metadata", "object"),
        {"comment": "what agents can call"},
    )

    id: Mapped[uuid_key]
    name: Mapped[str_255]
    description: Mapped[str | None] = mapped_column(comment="what it does, as told to the model")
    category: Mapped[str_100 | None]
    input_schema: Mapped[json_object] = mapped_column(comment="JSON Schema of its arguments")
    output_schema: Mapped[json_object] = mapped_column(comment="JSON Schema of its result")
    version_label: Mapped[str_50] = mapped_column(server_default="1.0.0", comment="the application's version of it")
    status: Mapped[ToolStatus] = mapped_column(server_default=ToolStatus.ACTIVE)
    tags: Mapped[json_list]
    documentation: Mapped[str | None] = mapped_column(comment="for people")
    examples: Mapped[json_list] = mapped_column(comment="calls with their results")
    timeout_seconds: Mapped[int] = mapped_column(server_default=text("30"), comment="1 second to a day")
    retry_config: Mapped[json_object] = mapped_column(comment="how often and when to try again")
    cost_per_call: Mapped[money | None] = mapped_column(comment="in the currency of the tenant; null: not known")
    deprecated_at: Mapped[datetime | None]
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    agent_tools: Mapped[list[AgentTool]] = children("AgentTool.tool_id", "Tool", reverse="tool")


class AgentTool(TenantOwned, Base):
    """That an agent has a tool, and how it is set up for it."""

    __tablename__ = "agent_tools"
    __table_args__ = (
        tenant_foreign_key("agent_id", Agent, ondelete="CASCADE"),
        tenant_foreign_key("tool_id", Tool, ondelete="CASCADE"),
        json_is("config", "object"),
        Index(None, "tenant_id", "tool_id"),
        {"comment": "which agents have which tools"},
    )

    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    tool_id: Mapped[UUID] = mapped_column(primary_key=True)
    enabled: Mapped[bool_true]
    config: Mapped[json_object] = mapped_column(comment="how the tool is set up for this agent")
    added_at: Mapped[now]

    agent: Mapped[Agent] = parent("AgentTool.agent_id", "Agent", reverse="agent_tools")
    tool: Mapped[Tool] = parent("AgentTool.tool_id", "Tool", reverse="agent_tools")
