"""Tools: what agents can call, and which agent has which tool.

Serves: a tool by its name, an agent's tools, and the agents that have a tool (also to delete it).
Cost: new tables only.
Refused: a list of tool names in agents.capabilities (nothing would keep it true).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005_tools"
down_revision = "0004_memory_nodes"
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
        "tools",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), comment="what it does, as told to the model"),
        sa.Column("category", sa.String(100)),
        sa.Column(
            "input_schema",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="JSON Schema of its arguments",
        ),
        sa.Column(
            "output_schema",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="JSON Schema of its result",
        ),
        sa.Column(
            "version_label",
            sa.String(50),
            server_default="1.0.0",
            nullable=False,
            comment="the application's version of it",
        ),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("tags", postgresql.JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("documentation", sa.Text(), comment="for people"),
        sa.Column(
            "examples",
            postgresql.JSONB(),
            server_default=EMPTY_LIST,
            nullable=False,
            comment="calls with their results",
        ),
        sa.Column(
            "timeout_seconds", sa.Integer(), server_default=sa.text("30"), nullable=False, comment="1 second to a day"
        ),
        sa.Column(
            "retry_config",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="how often and when to try again",
        ),
        sa.Column("cost_per_call", sa.Numeric(10, 6), comment="in the currency of the tenant; null: not known"),
        sa.Column("deprecated_at", TIMESTAMP),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_tools"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_tools_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "name", name="uq_tools_tenant_id_name"),
        sa.CheckConstraint(
            "cost_per_call >= 0 AND cost_per_call < 'Infinity'", name=op.f("ck_tools_cost_per_call_not_negative")
        ),
        sa.CheckConstraint("jsonb_typeof(examples) = 'array'", name=op.f("ck_tools_examples_is_array")),
        sa.CheckConstraint("jsonb_typeof(input_schema) = 'object'", name=op.f("ck_tools_input_schema_is_object")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_tools_metadata_is_object")),
        sa.CheckConstraint("jsonb_typeof(output_schema) = 'object'", name=op.f("ck_tools_output_schema_is_object")),
        sa.CheckConstraint("jsonb_typeof(retry_config) = 'object'", name=op.f("ck_tools_retry_config_is_object")),
        sa.CheckConstraint("jsonb_typeof(tags) = 'array'", name=op.f("ck_tools_tags_is_array")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_tools_name_not_empty")),
        sa.CheckConstraint("status IN ('active', 'deprecated', 'disabled')", name=op.f("ck_tools_status")),
        sa.CheckConstraint("timeout_seconds BETWEEN 1 AND 86400", name=op.f("ck_tools_timeout_seconds_range")),
        schema="memstore",
        comment="what agents can call",
    )
    op.create_table(
        "agent_tools",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("tool_id", sa.Uuid(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "config",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="how the tool is set up for this agent",
        ),
        sa.Column("added_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "agent_id", "tool_id", name="pk_agent_tools"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_agent_tools_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["memstore.agents.tenant_id", "memstore.agents.id"],
            name="fk_agent_tools_tenant_id_agent_id_agents",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "tool_id"],
            ["memstore.tools.tenant_id", "memstore.tools.id"],
            name="fk_agent_tools_tenant_id_tool_id_tools",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("jsonb_typeof(config) = 'object'", name=op.f("ck_agent_tools_config_is_object")),
        schema="memstore",
        comment="which agents have which tools",
    )
    op.create_index("ix_agent_tools_tenant_id_tool_id", "agent_tools", ["tenant_id", "tool_id"], schema="memstore")
    op.execute(
        "CREATE TRIGGER touch BEFORE UPDATE ON memstore.tools FOR EACH ROW "
        "WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION memstore.touch()"
    )
    for table in ("tools", "agent_tools"):
        op.enable_tenant_isolation(table)
    for table in ("tools", "agent_tools"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("agent_tools", "tools"):
        op.archive_table(table, schema="memstore")
    op.drop_table("agent_tools", schema="memstore")
    op.drop_table("tools", schema="memstore")
