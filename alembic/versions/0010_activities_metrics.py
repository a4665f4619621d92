"""Activities and metrics: what agents did, and what was measured on them.

Serves: the last activities of an agent (and agent_stats), those of a session, a metric over time, measures by label,
and purging what is old: rows come in by time, so that BRIN finds the old ones at hardly any cost.
Cost: new tables only. What each index costs an insert stands in docs/benchmarks.md.
Refused: deleting with the agent (an audit trail that ends with what it is about is none); partitions by month (they
would have to be made by somebody, every month).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010_activities_metrics"
down_revision = "0009_embedding_functions"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
CURRENT_TENANT = sa.text("memstore.current_tenant()")
UUID_DEFAULT = sa.text("gen_random_uuid()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
EMPTY_LIST = sa.text("'[]'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "activities",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("session_id", sa.Uuid()),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("status", sa.Text(), server_default="success", nullable=False),
        sa.Column("input", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("output", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("duration_ms", sa.Integer(), comment="milliseconds"),
        sa.Column("token_count", sa.Integer()),
        sa.Column("cost", sa.Numeric(10, 6), comment="in the currency of the tenant"),
        sa.Column(
            "tools_used", postgresql.JSONB(), server_default=EMPTY_LIST, nullable=False, comment="names of tools"
        ),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_activities"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_activities_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["memstore.agents.tenant_id", "memstore.agents.id"],
            name="fk_activities_tenant_id_agent_id_agents",
            ondelete="SET NULL (agent_id)",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["memstore.sessions.tenant_id", "memstore.sessions.id"],
            name="fk_activities_tenant_id_session_id_sessions",
            ondelete="SET NULL (session_id)",
        ),
        sa.CheckConstraint("action <> ''", name=op.f("ck_activities_action_not_empty")),
        sa.CheckConstraint("cost >= 0 AND cost < 'Infinity'", name=op.f("ck_activities_cost_not_negative")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_activities_metadata_is_object")),
        sa.CheckConstraint("jsonb_typeof(tools_used) = 'array'", name=op.f("ck_activities_tools_used_is_array")),
        sa.CheckConstraint("status IN ('success', 'failure', 'partial')", name=op.f("ck_activities_status")),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_activities_duration_ms_not_negative")),
        sa.CheckConstraint("token_count >= 0", name=op.f("ck_activities_token_count_not_negative")),
        schema="memstore",
        comment="what agents did; rows outlive the agent and the session",
    )
    op.create_index(
        "ix_activities_created_at", "activities", ["created_at"], schema="memstore", postgresql_using="brin"
    )
    op.create_index(
        "ix_activities_tenant_id_agent_id_created_at",
        "activities",
        ["tenant_id", "agent_id", sa.text("created_at DESC")],
        schema="memstore",
    )
    op.create_index(
        "ix_activities_tenant_id_session_id",
        "activities",
        ["tenant_id", "session_id"],
        schema="memstore",
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_table(
        "metrics",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("metric_name", sa.String(100), nullable=False),
        sa.Column("metric_type", sa.Text(), nullable=False),
        sa.Column("value", sa.Numeric(20, 6), nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="what it was measured on"
        ),
        sa.Column("timestamp", TIMESTAMP, server_default=NOW, nullable=False, comment="when it was measured"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_metrics"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_metrics_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["memstore.agents.tenant_id", "memstore.agents.id"],
            name="fk_metrics_tenant_id_agent_id_agents",
            ondelete="SET NULL (agent_id)",
        ),
        sa.CheckConstraint("jsonb_typeof(labels) = 'object'", name=op.f("ck_metrics_labels_is_object")),
        sa.CheckConstraint("metric_name <> ''", name=op.f("ck_metrics_metric_name_not_empty")),
        sa.CheckConstraint("metric_type IN ('counter', 'gauge', 'histogram')", name=op.f("ck_metrics_metric_type")),
        sa.CheckConstraint("value <> 'NaN'", name=op.f("ck_metrics_value_is_number")),
        schema="memstore",
        comment="measurements; rows outlive the agent",
    )
    op.create_index(
        "ix_metrics_labels",
        "metrics",
        ["labels"],
        schema="memstore",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
    )
    op.create_index(
        "ix_metrics_tenant_id_agent_id",
        "metrics",
        ["tenant_id", "agent_id"],
        schema="memstore",
        postgresql_where=sa.text("agent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_metrics_tenant_id_metric_name_timestamp",
        "metrics",
        ["tenant_id", "metric_name", sa.text("timestamp DESC")],
        schema="memstore",
    )
    op.create_index("ix_metrics_timestamp", "metrics", ["timestamp"], schema="memstore", postgresql_using="brin")
    for table in ("activities", "metrics"):
        op.enable_tenant_isolation(table)
    for table in ("activities", "metrics"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("metrics", "activities"):
        op.archive_table(table, schema="memstore")
    op.drop_table("metrics", schema="memstore")
    op.drop_table("activities", schema="memstore")
