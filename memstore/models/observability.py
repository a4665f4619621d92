"""What agents did, how well, and what people say about it. These rows outlive the agents and sessions they name."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from .agents import Agent, Session
from .base import Base, Created, TenantOwned
from .constraints import finite, in_range, json_is, not_empty, not_negative, one_of, tenant_foreign_key
from .relations import children, parent
from .types import (
    bool_false,
    json_any,
    json_list,
    json_object,
    money,
    now,
    str_50,
    str_100,
    str_255,
    unit_score,
    uuid_key,
)
from .vocabulary import ActivityStatus, FeedbackStatus, MetricType, Severity


class Activity(TenantOwned, Created, Base):
    """One thing that an agent did, what it cost and how it ended."""

    __tablename__ = "activities"
    __table_args__ = (
        tenant_foreign_key("agent_id", Agent, ondelete="SET NULL (agent_id)"),
        tenant_foreign_key("session_id", Session, ondelete="SET NULL (session_id)"),
        not_empty("action"),
        one_of("status", ActivityStatus),
        not_negative("duration_ms"),
        not_negative("token_count"),
        finite("cost"),
        json_is("tools_used", "array"),
        json_is("metadata", "object"),
        Index("ix_activities_tenant_id_agent_id_created_at", "tenant_id", "agent_id", text("created_at DESC")),
        Index(None, "tenant_id", "session_id", postgresql_where=text("session_id IS NOT NULL")),
        Index(None, "created_at", postgresql_using="brin"),
        {"comment": "what agents did; rows outlive the agent and the session"},
    )

    id: Mapped[uuid_key]
    agent_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    action: Mapped[str_50]
    status: Mapped[ActivityStatus] = mapped_column(server_default=ActivityStatus.SUCCESS)
    input: Mapped[json_any]
    output: Mapped[json_any]
    error: Mapped[str | None]
    duration_ms: Mapped[int | None] = mapped_column(comment="milliseconds")
    token_count: Mapped[int | None]
    cost: Mapped[money | None] = mapped_column(comment="in the currency of the tenant")
    tools_used: Mapped[json_list] = mapped_column(comment="names of tools")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    agent: Mapped[Agent | None] = parent("Activity.agent_id", "Agent", reverse="activities")
    session: Mapped[Session | None] = parent("Activity.session_id", "Session", reverse="activities")
    feedback: Mapped[list[Feedback]] = children("Feedback.activity_id", "Activity", reverse="activity")


class Metric(TenantOwned, Base):
    """One measurement."""

    __tablename__ = "metrics"
    __table_args__ = (
        tenant_foreign_key("agent_id", Agent, ondelete="SET NULL (agent_id)"),
        not_empty("metric_name"),
        one_of("metric_type", MetricType),
        CheckConstraint("value <> 'NaN'", name="value_is_number"),
        json_is("labels", "object"),
        Index("ix_metrics_tenant_id_metric_name_timestamp", "tenant_id", "metric_name", text("timestamp DESC")),
        Index(None, "tenant_id", "agent_id", postgresql_where=text("agent_id IS NOT NULL")),
        Index(None, "labels", postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"}),
        Index(None, "timestamp", postgresql_using="brin"),
        {"comment": "measurements; rows outlive the agent"},
    )

    id: Mapped[uuid_key]
    agent_id: Mapped[UUID | None]
    metric_name: Mapped[str_100]
    metric_type: Mapped[MetricType]
    value: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    labels: Mapped[json_object] = mapped_column(comment="what it was measured on")
    timestamp: Mapped[now] = mapped_column(comment="when it was measured")

    agent: Mapped[Agent | None] = parent("Metric.agent_id", "Agent", reverse="metrics")


class Evaluation(TenantOwned, Created, Base):
    """How an agent did in a test case."""

    __tablename__ = "evaluations"
    __table_args__ = (
        tenant_foreign_key("agent_id", Agent, ondelete="SET NULL (agent_id)"),
        not_empty("evaluator_type"),
        in_range("score", 0, 1),
        in_range("effectiveness_score", 0, 1),
        in_range("efficiency_score", 0, 1),
        in_range("robustness_score", 0, 1),
        in_range("safety_score", 0, 1),
        json_is("details", "object"),
        not_negative("duration_ms"),
        not_negative("token_count"),
        finite("cost"),
        Index("ix_evaluations_tenant_id_agent_id_created_at", "tenant_id", "agent_id", text("created_at DESC")),
        {"comment": "how agents did in test cases; rows outlive the agent"},
    )

    id: Mapped[uuid_key]
    agent_id: Mapped[UUID | None]
    test_case_id: Mapped[str_255 | None]
    evaluator_type: Mapped[str_50] = mapped_column(comment="who judged, such as a model, a rule or a person")
    input: Mapped[json_any]
    expected_output: Mapped[json_any]
    actual_output: Mapped[json_any]
    score: Mapped[unit_score | None] = mapped_column(comment="0 to 1, best is 1, like the four below")
    effectiveness_score: Mapped[unit_score | None]
    efficiency_score: Mapped[unit_score | None]
    robustness_score: Mapped[unit_score | None]
    safety_score: Mapped[unit_score | None]
    passed: Mapped[bool | None]
    feedback: Mapped[str | None] = mapped_column(comment="what the evaluator had to say")
    details: Mapped[json_object]
    duration_ms: Mapped[int | None] = mapped_column(comment="milliseconds")
    token_count: Mapped[int | None]
    cost: Mapped[money | None] = mapped_column(comment="in the currency of the tenant")
    agent_version: Mapped[str_50 | None] = mapped_column(comment="the application's version of the agent")

    agent: Mapped[Agent | None] = parent("Evaluation.agent_id", "Agent", reverse="evaluations")


class Feedback(TenantOwned, Created, Base):
    """What somebody says about an agent, and what became of it."""

    __tablename__ = "feedback"
    __table_args__ = (
        tenant_foreign_key("agent_id", Agent, ondelete="SET NULL (agent_id)"),
        tenant_foreign_key("session_id", Session, ondelete="SET NULL (session_id)"),
        tenant_foreign_key("activity_id", Activity, ondelete="SET NULL (activity_id)"),
        not_empty("feedback_type"),
        one_of("severity", Severity),
        json_is("tags", "array"),
        one_of("status", FeedbackStatus),
        json_is("metadata", "object"),
        Index("ix_feedback_tenant_id_created_at", "tenant_id", text("created_at DESC")),
        Index(None, "tenant_id", "agent_id", postgresql_where=text("agent_id IS NOT NULL")),
        Index(None, "tenant_id", "session_id", postgresql_where=text("session_id IS NOT NULL")),
        Index(None, "tenant_id", "activity_id", postgresql_where=text("activity_id IS NOT NULL")),
        {"comment": "what people say about agents; rows outlive the agent, the session and the activity"},
    )

    id: Mapped[uuid_key]
    agent_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    activity_id: Mapped[UUID | None]
    feedback_type: Mapped[str_50]
    severity: Mapped[Severity] = mapped_column(server_default=Severity.MEDIUM)
    title: Mapped[str_255 | None]
    description: Mapped[str | None]
    category: Mapped[str_100 | None]
    tags: Mapped[json_list]
    status: Mapped[FeedbackStatus] = mapped_column(server_default=FeedbackStatus.OPEN)
    resolution: Mapped[str | None] = mapped_column(comment="how it was resolved")
    test_case_generated: Mapped[bool_false] = mapped_column(comment="a test case was made from it")
    test_case_id: Mapped[str_255 | None]
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")
    resolved_at: Mapped[datetime | None]

    agent: Mapped[Agent | None] = parent("Feedback.agent_id", "Agent", reverse="feedback")
    session: Mapped[Session | None] = parent("Feedback.session_id", "Session", reverse="feedback")
    activity: Mapped[Activity | None] = parent("Feedback.activity_id", "Activity", reverse="feedback")
