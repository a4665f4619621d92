"""Agents and sessions: who speaks, and the conversations they are in.

Serves: an agent's sessions, a user's sessions, and finding the active sessions that have expired.
Cost: new tables only.
Refused: messages in a table of their own (they are read and written with their session, never searched here; what is
worth finding again becomes a memory node).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003_agents_sessions"
down_revision = "0002_tenants_users"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
CURRENT_TENANT = sa.text("memstore.current_tenant()")
UUID_DEFAULT = sa.text("gen_random_uuid()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
EMPTY_LIST = sa.text("'[]'::jsonb")


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("personality", sa.Text()),
        sa.Column(
            "language",
            sa.String(50),
            server_default="en",
            nullable=False,
            comment="BCP 47 tag of the language it speaks",
        ),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column("llm_provider", sa.String(50)),
        sa.Column("llm_model", sa.String(100)),
        sa.Column("temperature", sa.Numeric(3, 2), comment="sampling temperature, 0 to 2"),
        sa.Column("max_tokens", sa.Integer(), comment="longest answer, in tokens of the model"),
        sa.Column("behavior_name", sa.String(100), comment="the application's name for how it behaves"),
        sa.Column(
            "capabilities",
            postgresql.JSONB(),
            server_default=EMPTY_LIST,
            nullable=False,
            comment="names of what it can do",
        ),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_agents"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_agents_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint("status IN ('draft', 'active', 'inactive', 'archived')", name=op.f("ck_agents_status")),
        sa.CheckConstraint("temperature BETWEEN 0 AND 2", name=op.f("ck_agents_temperature_range")),
        sa.CheckConstraint("max_tokens >= 0", name=op.f("ck_agents_max_tokens_not_negative")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_agents_name_not_empty")),
        sa.CheckConstraint("jsonb_typeof(capabilities) = 'array'", name=op.f("ck_agents_capabilities_is_array")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_agents_metadata_is_object")),
        schema="memstore",
        comment="AI agents, and the model each speaks through",
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), comment="null: it belongs to the whole tenant"),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column(
            "history", postgresql.JSONB(), server_default=EMPTY_LIST, nullable=False, comment="messages, oldest first"
        ),
        sa.Column(
            "workspace",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="working memory of this conversation",
        ),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="an active session past this moment has expired",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_sessions_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["memstore.agents.tenant_id", "memstore.agents.id"],
            name="fk_sessions_tenant_id_agent_id_agents",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["memstore.users.tenant_id", "memstore.users.id"],
            name="fk_sessions_tenant_id_user_id_users",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("status IN ('active', 'closed', 'expired', 'archived')", name=op.f("ck_sessions_status")),
        sa.CheckConstraint("jsonb_typeof(history) = 'array'", name=op.f("ck_sessions_history_is_array")),
        sa.CheckConstraint("jsonb_typeof(workspace) = 'object'", name=op.f("ck_sessions_workspace_is_object")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_sessions_metadata_is_object")),
        schema="memstore",
        comment="conversations between an agent and a user, with their working memory",
    )
    op.create_index("ix_sessions_tenant_id_agent_id", "sessions", ["tenant_id", "agent_id"], schema="memstore")
    op.create_index(
        "ix_sessions_tenant_id_user_id",
        "sessions",
        ["tenant_id", "user_id"],
        schema="memstore",
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_index(
        "ix_sessions_expires_at",
        "sessions",
        ["expires_at"],
        schema="memstore",
        postgresql_where=sa.text("status = 'active'"),
    )
    for table in ("agents", "sessions"):
        op.execute(
            f"CREATE TRIGGER touch BEFORE UPDATE ON memstore.{table} FOR EACH ROW "
            "WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION memstore.touch()"
        )
        op.enable_tenant_isolation(table)
    for table in ("agents", "sessions"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("sessions", "agents"):
        op.archive_table(table, schema="memstore")
    op.drop_table("sessions", schema="memstore")
    op.drop_table("agents", schema="memstore")
