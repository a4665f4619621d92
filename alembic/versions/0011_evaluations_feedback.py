"""Evaluations and feedback: how agents did in test cases, and what people say about them.

Serves: the last evaluations of an agent, the feedback of a tenant in the last days (recent_feedback_summary), and the
feedback on an agent, a session or an activity (also when one of these is deleted).
Cost: new tables only.
Refused: feedback on an evaluation (nobody asked for it; it has its own column for words).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011_evaluations_feedback"
down_revision = "0010_activities_metrics"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
FALSE = sa.text("false")
CURRENT_TENANT = sa.text("memstore.current_tenant()")
UUID_DEFAULT = sa.text("gen_random_uuid()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
EMPTY_LIST = sa.text("'[]'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)

RECENT_FEEDBACK_SUMMARY = """
CREATE VIEW memstore.recent_feedback_summary WITH (security_invoker = true) AS
SELECT tenant_id, agent_id, feedback_type, severity,
       count(*) AS total,
       count(*) FILTER (WHERE status IN ('open', 'in_review')) AS unresolved,
       count(*) FILTER (WHERE status = 'resolved') AS resolved,
       max(created_at) AS last_feedback_at
FROM memstore.feedback
WHERE created_at > now() - interval '7 days'
GROUP BY tenant_id, agent_id, feedback_type, severity
"""


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("test_case_id", sa.String(255)),
        sa.Column(
            "evaluator_type", sa.String(50), nullable=False, comment="who judged, such as a model, a rule or a person"
        ),
        sa.Column("input", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("expected_output", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("actual_output", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("score", sa.Numeric(5, 4), comment="0 to 1, best is 1, like the four below"),
        sa.Column("effectiveness_score", sa.Numeric(5, 4)),
        sa.Column("efficiency_score", sa.Numeric(5, 4)),
        sa.Column("robustness_score", sa.Numeric(5, 4)),
        sa.Column("safety_score", sa.Numeric(5, 4)),
        sa.Column("passed", sa.Boolean()),
        sa.Column("feedback", sa.Text(), comment="what the evaluator had to say"),
        sa.Column("details", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("duration_ms", sa.Integer(), comment="milliseconds"),
        sa.Column("token_count", sa.Integer()),
        sa.Column("cost", sa.Numeric(10, 6), comment="in the currency of the tenant"),
        sa.Column("agent_version", sa.String(50), comment="the application's version of the agent"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_evaluations"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_evaluations_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["memstore.agents.tenant_id", "memstore.agents.id"],
            name="fk_evaluations_tenant_id_agent_id_agents",
            ondelete="SET NULL (agent_id)",
        ),
        sa.CheckConstraint("cost >= 0 AND cost < 'Infinity'", name=op.f("ck_evaluations_cost_not_negative")),
        sa.CheckConstraint("evaluator_type <> ''", name=op.f("ck_evaluations_evaluator_type_not_empty")),
        sa.CheckConstraint("jsonb_typeof(details) = 'object'", name=op.f("ck_evaluations_details_is_object")),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_evaluations_duration_ms_not_negative")),
        sa.CheckConstraint(
            "effectiveness_score BETWEEN 0 AND 1", name=op.f("ck_evaluations_effectiveness_score_range")
        ),
        sa.CheckConstraint("efficiency_score BETWEEN 0 AND 1", name=op.f("ck_evaluations_efficiency_score_range")),
        sa.CheckConstraint("robustness_score BETWEEN 0 AND 1", name=op.f("ck_evaluations_robustness_score_range")),
        sa.CheckConstraint("safety_score BETWEEN 0 AND 1", name=op.f("ck_evaluations_safety_score_range")),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_evaluations_score_range")),
        sa.CheckConstraint("token_count >= 0", name=op.f("ck_evaluations_token_count_not_negative")),
        schema="memstore",
        comment="how agents did in test cases; rows outlive the agent",
    )
    op.create_index(
        "ix_evaluations_tenant_id_agent_id_created_at",
        "evaluations",
        ["tenant_id", "agent_id", sa.text("created_at DESC")],
        schema="memstore",
    )
    op.create_table(
        "feedback",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("session_id", sa.Uuid()),
        sa.Column("activity_id", sa.Uuid()),
        sa.Column("feedback_type", sa.String(50), nullable=False),
        sa.Column("severity", sa.Text(), server_default="medium", nullable=False),
        sa.Column("title", sa.String(255)),
        sa.Column("description", sa.Text()),
        sa.Column("category", sa.String(100)),
        sa.Column("tags", postgresql.JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("resolution", sa.Text(), comment="how it was resolved"),
        sa.Column(
            "test_case_generated",
            sa.Boolean(),
            server_default=FALSE,
            nullable=False,
            comment="a test case was made from it",
        ),
        sa.Column("test_case_id", sa.String(255)),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("resolved_at", TIMESTAMP),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_feedback"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_feedback_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "activity_id"],
            ["memstore.activities.tenant_id", "memstore.activities.id"],
            name="fk_feedback_tenant_id_activity_id_activities",
            ondelete="SET NULL (activity_id)",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["memstore.agents.tenant_id", "memstore.agents.id"],
            name="fk_feedback_tenant_id_agent_id_agents",
            ondelete="SET NULL (agent_id)",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["memstore.sessions.tenant_id", "memstore.sessions.id"],
            name="fk_feedback_tenant_id_session_id_sessions",
            ondelete="SET NULL (session_id)",
        ),
        sa.CheckConstraint("feedback_type <> ''", name=op.f("ck_feedback_feedback_type_not_empty")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_feedback_metadata_is_object")),
        sa.CheckConstraint("jsonb_typeof(tags) = 'array'", name=op.f("ck_feedback_tags_is_array")),
        sa.CheckConstraint("severity IN ('low', 'medium', 'high', 'critical')", name=op.f("ck_feedback_severity")),
        sa.CheckConstraint(
            "status IN ('open', 'in_review', 'resolved', 'wont_fix', 'duplicate')", name=op.f("ck_feedback_status")
        ),
        schema="memstore",
        comment="what people say about agents; rows outlive the agent, the session and the activity",
    )
    op.create_index(
        "ix_feedback_tenant_id_activity_id",
        "feedback",
        ["tenant_id", "activity_id"],
        schema="memstore",
        postgresql_where=sa.text("activity_id IS NOT NULL"),
    )
    op.create_index(
        "ix_feedback_tenant_id_agent_id",
        "feedback",
        ["tenant_id", "agent_id"],
        schema="memstore",
        postgresql_where=sa.text("agent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_feedback_tenant_id_created_at", "feedback", ["tenant_id", sa.text("created_at DESC")], schema="memstore"
    )
    op.create_index(
        "ix_feedback_tenant_id_session_id",
        "feedback",
        ["tenant_id", "session_id"],
        schema="memstore",
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    for table in ("evaluations", "feedback"):
        op.enable_tenant_isolation(table)
    op.execute(RECENT_FEEDBACK_SUMMARY)
    op.execute(
        "COMMENT ON VIEW memstore.recent_feedback_summary IS "
        "'feedback of the last 7 days, counted by agent, type and severity'"
    )
    for table in ("evaluations", "feedback"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("feedback", "evaluations"):
        op.archive_table(table, schema="memstore")
    op.execute("DROP VIEW memstore.recent_feedback_summary")
    op.drop_table("feedback", schema="memstore")
    op.drop_table("evaluations", schema="memstore")
