"""Audit: who did what with which memory, and how searches went.

Serves: the trail of a memory, newest first, also after it was deleted, and what a user did (also to delete the user).
Cost: new tables only.
Refused: a foreign key to the memory (the trail would go with it); triggers that write the trail by themselves (reading
has none, and a write is worth an entry only where the application says so).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_audit"
down_revision = "0011_evaluations_feedback"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
CURRENT_TENANT = sa.text("memstore.current_tenant()")
UUID_DEFAULT = sa.text("gen_random_uuid()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "memory_access_log",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("user_id", sa.Uuid(), comment="who; null: nobody in particular, or gone"),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("memory_id", sa.String(255), comment="no foreign key: the trail survives a hard delete"),
        sa.Column("access_type", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.String(255), comment="the application's id of the request"),
        sa.Column("query_text", sa.Text(), comment="what was searched for"),
        sa.Column("results_count", sa.Integer()),
        sa.Column("processing_time_ms", sa.REAL(), comment="milliseconds"),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("accessed_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_memory_access_log"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_memory_access_log_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["memstore.users.tenant_id", "memstore.users.id"],
            name="fk_memory_access_log_tenant_id_user_id_users",
            ondelete="SET NULL (user_id)",
        ),
        sa.CheckConstraint(
            "access_type IN ('read', 'write', 'update', 'delete', 'search')",
            name=op.f("ck_memory_access_log_access_type"),
        ),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_memory_access_log_metadata_is_object")),
        sa.CheckConstraint(
            "processing_time_ms >= 0 AND processing_time_ms < 'Infinity'",
            name=op.f("ck_memory_access_log_processing_time_ms_not_negative"),
        ),
        sa.CheckConstraint("results_count >= 0", name=op.f("ck_memory_access_log_results_count_not_negative")),
        schema="memstore",
        comment="who did what with which memory; rows outlive the memory and the user",
    )
    op.create_index(
        "ix_memory_access_log_tenant_id_memory_id_accessed_at",
        "memory_access_log",
        ["tenant_id", "memory_id", sa.text("accessed_at DESC")],
        schema="memstore",
        postgresql_where=sa.text("memory_id IS NOT NULL"),
    )
    op.create_index(
        "ix_memory_access_log_tenant_id_user_id",
        "memory_access_log",
        ["tenant_id", "user_id"],
        schema="memstore",
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "search_metrics",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("search_type", sa.Text(), nullable=False),
        sa.Column("result_count", sa.Integer(), nullable=False),
        sa.Column("execution_time_ms", sa.REAL(), nullable=False, comment="milliseconds"),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_search_metrics"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_search_metrics_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "execution_time_ms >= 0 AND execution_time_ms < 'Infinity'",
            name=op.f("ck_search_metrics_execution_time_ms_not_negative"),
        ),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_search_metrics_metadata_is_object")),
        sa.CheckConstraint("search_type IN ('vector', 'text', 'hybrid')", name=op.f("ck_search_metrics_search_type")),
        sa.CheckConstraint("result_count >= 0", name=op.f("ck_search_metrics_result_count_not_negative")),
        schema="memstore",
        comment="how searches went",
    )
    for table in ("memory_access_log", "search_metrics"):
        op.enable_tenant_isolation(table)
    for table in ("memory_access_log", "search_metrics"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("search_metrics", "memory_access_log"):
        op.archive_table(table, schema="memstore")
    op.drop_table("search_metrics", schema="memstore")
    op.drop_table("memory_access_log", schema="memstore")
