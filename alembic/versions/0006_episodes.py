"""Episodes: conversations as they are remembered, the memories they hold, and what one memory is to another.

Serves: the newest episodes of a user, the memories of an episode in order, the episodes of a memory, and the links of a
memory in both directions (the last two also to delete it).
Cost: new tables only. Each memory that is deleted looks into episode_nodes and memory_relationships, by their indexes.
Refused: lists of ids in the episode (they outlive what they name).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

revision = "0006_episodes"
down_revision = "0005_tools"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
FALSE = sa.text("false")
CURRENT_TENANT = sa.text("memstore.current_tenant()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
EMPTY_LIST = sa.text("'[]'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)

# All that may be written, except what records an access (access_count, last_accessed).
CHANGES = (
    "tenant_id user_id id title messages message_count source duration_minutes llm_tags summary dominant_intent "
    "avg_complexity avg_technical_depth emotional_arc has_code has_errors urgency_max metadata created_at "
    "updated_at version"
).split()
# IS DISTINCT FROM cannot say which schema the operator of a vector is in: a dump with one could not be restored.
OTHER_EMBEDDING = "(OLD.embedding IS NULL) <> (NEW.embedding IS NULL) OR OLD.embedding <> NEW.embedding"


def upgrade() -> None:
    op.create_table(
        "episodic_memories",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("user_id", sa.Uuid(), comment="null: it belongs to the whole tenant"),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column(
            "messages",
            postgresql.JSONB(),
            server_default=EMPTY_LIST,
            nullable=False,
            comment="objects with role, content and created_at, oldest first",
        ),
        sa.Column(
            "message_count",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many there were, also where not all are kept",
        ),
        sa.Column("source", sa.String(50), comment="where it was imported from"),
        sa.Column("duration_minutes", sa.REAL()),
        sa.Column(
            "llm_tags",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="what a model made of it: outcome, key_entities, domains, ...",
        ),
        sa.Column("summary", sa.Text()),
        sa.Column("dominant_intent", sa.Text()),
        sa.Column("avg_complexity", sa.Text()),
        sa.Column("avg_technical_depth", sa.REAL(), comment="0 (none) to 10"),
        sa.Column("emotional_arc", sa.Text(), comment="how the mood went"),
        sa.Column("has_code", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("has_errors", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("urgency_max", sa.Text()),
        sa.Column("access_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_accessed", TIMESTAMP),
        sa.Column("embedding", VECTOR(op.embedding_dim()), comment="as wide as settings.embedding_dim says"),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_episodic_memories"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_episodic_memories_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["memstore.users.tenant_id", "memstore.users.id"],
            name="fk_episodic_memories_tenant_id_user_id_users",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "(embedding <=> embedding) <> 'NaN'::double precision",
            name=op.f("ck_episodic_memories_embedding_has_cosine"),
        ),
        sa.CheckConstraint(
            "avg_complexity IN ('simple', 'moderate', 'complex')", name=op.f("ck_episodic_memories_avg_complexity")
        ),
        sa.CheckConstraint(
            "dominant_intent IN ('question', 'request', 'statement', 'complaint', 'celebration')",
            name=op.f("ck_episodic_memories_dominant_intent"),
        ),
        sa.CheckConstraint(
            "duration_minutes >= 0 AND duration_minutes < 'Infinity'",
            name=op.f("ck_episodic_memories_duration_minutes_not_negative"),
        ),
        sa.CheckConstraint("id <> ''", name=op.f("ck_episodic_memories_id_not_empty")),
        sa.CheckConstraint("jsonb_typeof(llm_tags) = 'object'", name=op.f("ck_episodic_memories_llm_tags_is_object")),
        sa.CheckConstraint("jsonb_typeof(messages) = 'array'", name=op.f("ck_episodic_memories_messages_is_array")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_episodic_memories_metadata_is_object")),
        sa.CheckConstraint("urgency_max IN ('low', 'medium', 'high')", name=op.f("ck_episodic_memories_urgency_max")),
        sa.CheckConstraint("access_count >= 0", name=op.f("ck_episodic_memories_access_count_not_negative")),
        sa.CheckConstraint(
            "avg_technical_depth BETWEEN 0 AND 10", name=op.f("ck_episodic_memories_avg_technical_depth_range")
        ),
        sa.CheckConstraint("message_count >= 0", name=op.f("ck_episodic_memories_message_count_not_negative")),
        schema="memstore",
        comment="conversations as they are remembered",
    )
    op.create_index(
        "ix_episodic_memories_tenant_id_user_id_created_at",
        "episodic_memories",
        ["tenant_id", "user_id", sa.text("created_at DESC")],
        schema="memstore",
    )
    op.create_table(
        "episode_nodes",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("episode_id", sa.String(255), nullable=False),
        sa.Column("node_id", sa.String(255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="place in the episode, from 0"),
        sa.PrimaryKeyConstraint("tenant_id", "episode_id", "node_id", name="pk_episode_nodes"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_episode_nodes_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "episode_id"],
            ["memstore.episodic_memories.tenant_id", "memstore.episodic_memories.id"],
            name="fk_episode_nodes_tenant_id_episode_id_episodic_memories",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "node_id"],
            ["memstore.memory_nodes.tenant_id", "memstore.memory_nodes.id"],
            name="fk_episode_nodes_tenant_id_node_id_memory_nodes",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "tenant_id", "episode_id", "position", name="uq_episode_nodes_tenant_id_episode_id_position"
        ),
        sa.CheckConstraint("position >= 0", name=op.f("ck_episode_nodes_position_not_negative")),
        schema="memstore",
        comment="which memories an episode holds, in order",
    )
    op.create_index("ix_episode_nodes_tenant_id_node_id", "episode_nodes", ["tenant_id", "node_id"], schema="memstore")
    op.create_table(
        "memory_relationships",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("source_id", sa.String(255), nullable=False),
        sa.Column("target_id", sa.String(255), nullable=False),
        sa.Column("relationship_type", sa.Text(), nullable=False),
        sa.Column("confidence", sa.REAL(), server_default=sa.text("1.0"), nullable=False, comment="0 to 1"),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "source_id", "target_id", "relationship_type", name="pk_memory_relationships"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_memory_relationships_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "source_id"],
            ["memstore.memory_nodes.tenant_id", "memstore.memory_nodes.id"],
            name="fk_memory_relationships_tenant_id_source_id_memory_nodes",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "target_id"],
            ["memstore.memory_nodes.tenant_id", "memstore.memory_nodes.id"],
            name="fk_memory_relationships_tenant_id_target_id_memory_nodes",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "jsonb_typeof(metadata) = 'object'", name=op.f("ck_memory_relationships_metadata_is_object")
        ),
        sa.CheckConstraint(
            "relationship_type IN ('reflection', 'consolidation', 'pattern', 'decay_promotion', 'semantic_link', "
            "'supersedes')",
            name=op.f("ck_memory_relationships_relationship_type"),
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_memory_relationships_confidence_range")),
        sa.CheckConstraint("source_id <> target_id", name=op.f("ck_memory_relationships_not_to_itself")),
        schema="memstore",
        comment="what one memory is to another: source supersedes target, and so on",
    )
    op.create_index(
        "ix_memory_relationships_tenant_id_target_id",
        "memory_relationships",
        ["tenant_id", "target_id"],
        schema="memstore",
    )
    before, after = (", ".join(f"{row}.{column}" for column in CHANGES) for row in ("OLD", "NEW"))
    op.execute(
        "CREATE TRIGGER touch BEFORE UPDATE ON memstore.episodic_memories FOR EACH ROW "
        f"WHEN (({before}) IS DISTINCT FROM ({after}) OR {OTHER_EMBEDDING}) EXECUTE FUNCTION memstore.touch()"
    )
    for table in ("episodic_memories", "episode_nodes", "memory_relationships"):
        op.enable_tenant_isolation(table)
    for table in ("episodic_memories", "episode_nodes", "memory_relationships"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("memory_relationships", "episode_nodes", "episodic_memories"):
        op.archive_table(table, schema="memstore")
    op.drop_table("memory_relationships", schema="memstore")
    op.drop_table("episode_nodes", schema="memstore")
    op.drop_table("episodic_memories", schema="memstore")
