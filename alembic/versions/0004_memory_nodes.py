"""Memory nodes: the unit of what agents remember.

Serves: importing and searching memories, one tenant at a time. Each index names its query below.
Cost: a new table only. No BEFORE INSERT trigger: it would switch off the batched inserts of COPY.
Refused: one table for each kind of memory (a search spans them); a vector index (`memstore index` builds the one that
the number of rows calls for; few rows are searched exactly, and faster, without one).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

revision = "0004_memory_nodes"
down_revision = "0003_agents_sessions"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
FALSE = sa.text("false")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)

# A tsvector holds at most 1 MiB, in which a compound stands whole and in parts: a longer text is kept, but not indexed
# beyond this many characters.
SEARCH_VECTOR = (
    "to_tsvector('english'::regconfig, left(coalesce(human_content, '') || ' ' || coalesce(assistant_content, '')"
    " || ' ' || coalesce(content, ''), 100000))"
)

# In UTC a day has 24 hours, which makes adding one immutable.
EXPIRY = (
    "CASE WHEN decay_tier = 'pinned' THEN NULL ELSE coalesce(expires_at, (created_at AT TIME ZONE 'UTC'"
    " + CASE decay_tier WHEN 'short' THEN interval '7 days' WHEN 'medium' THEN interval '30 days'"
    " WHEN 'long' THEN interval '180 days' END) AT TIME ZONE 'UTC') END"
)

VOCABULARIES = {
    "intent_type": "'question', 'request', 'statement', 'complaint', 'celebration'",
    "complexity": "'simple', 'moderate', 'complex'",
    "emotional_valence": "'positive', 'neutral', 'negative'",
    "urgency": "'low', 'medium', 'high'",
    "conversation_mode": "'chat', 'debug', 'brainstorm', 'review'",
    "memory_type": "'general', 'fact', 'preference', 'context', 'conversation', 'insight', 'skill', 'episodic', "
    "'semantic', 'procedural'",
    "neuro_type": "'episodic', 'semantic', 'procedural'",
    "decay_tier": "'short', 'medium', 'long', 'pinned'",
}

CHECKS = {
    "has_text": "content IS NOT NULL OR human_content IS NOT NULL",
    # A zero vector has no cosine, nor has one whose squares leave the range of a float: both are NaN.
    "embedding_has_cosine": "(embedding <=> embedding) <> 'NaN'::double precision",
    "id_not_empty": "id <> ''",
    "sequence_index_not_negative": "sequence_index >= 0",
    "technical_depth_range": "technical_depth BETWEEN 0 AND 10",
    "cluster_id_range": "cluster_id >= -1",
    "cluster_confidence_range": "cluster_confidence BETWEEN 0 AND 1",
    "importance_range": "importance BETWEEN 1 AND 10",
    "importance_decay_range": "importance_decay BETWEEN 0 AND 1",
    "decay_lambda_range": "decay_lambda BETWEEN 0 AND 100",
    "access_count_not_negative": "access_count >= 0",
    "tags_is_object": "jsonb_typeof(tags) = 'object'",
    "metadata_is_object": "jsonb_typeof(metadata) = 'object'",
}

# All that may be written, except what records an access (access_count, last_accessed) and what `touch` itself sets.
# Generated columns cannot be named here, and follow from these.
CHANGES = (
    "tenant_id user_id id agent_id session_id conversation_id sequence_index key human_content assistant_content "
    "content source intent_type complexity technical_depth emotional_valence urgency conversation_mode action_required "
    "has_code has_error tags cluster_id cluster_label cluster_confidence memory_type neuro_type importance decay_tier "
    "decay_lambda importance_decay ui_source ai_generated user_confirmed expires_at deleted_at metadata "
    "embedding_model created_at updated_at version"
).split()
# IS DISTINCT FROM cannot say which schema the operator of a vector is in: a dump with one could not be restored.
OTHER_EMBEDDING = "(OLD.embedding IS NULL) <> (NEW.embedding IS NULL) OR OLD.embedding <> NEW.embedding"


# The facts of a deleted agent stay as nobody's in particular, and would meet others of the same key there.
RELEASE_KEYS = """
CREATE FUNCTION memstore.release_keys() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE memstore.memory_nodes SET key = NULL, metadata = metadata || jsonb_build_object('released_key', key)
    WHERE tenant_id = OLD.tenant_id AND agent_id = OLD.id AND key IS NOT NULL;
    RETURN OLD;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "memory_nodes",
        sa.Column("tenant_id", sa.Uuid(), server_default=sa.text("memstore.current_tenant()"), nullable=False),
        sa.Column("id", sa.String(255), nullable=False, comment="'mem_' and 16 hex digits for imported exchanges"),
        sa.Column("user_id", sa.Uuid(), comment="null: it belongs to the whole tenant"),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("session_id", sa.Uuid()),
        sa.Column("conversation_id", sa.String(255), comment="the application's id of the conversation"),
        sa.Column("sequence_index", sa.Integer(), comment="place in the conversation, from 0"),
        sa.Column("key", sa.String(255), comment="natural key of a fact, one live row for each agent and user"),
        sa.Column("human_content", sa.Text(), comment="what the human said in an exchange"),
        sa.Column("assistant_content", sa.Text(), comment="what the assistant answered"),
        sa.Column("content", sa.Text(), comment="the text of any other memory"),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed(SEARCH_VECTOR, persisted=True),
            comment="lexemes of all texts, English",
        ),
        sa.Column("source", sa.String(50), comment="where it was imported from"),
        sa.Column("intent_type", sa.Text()),
        sa.Column("complexity", sa.Text()),
        sa.Column("technical_depth", sa.SmallInteger(), comment="0 (none) to 10"),
        sa.Column("emotional_valence", sa.Text()),
        sa.Column("urgency", sa.Text()),
        sa.Column("conversation_mode", sa.Text()),
        sa.Column("action_required", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("has_code", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("has_error", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column(
            "tags",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="lists of strings under domains, topics, entities, processes",
        ),
        sa.Column("cluster_id", sa.Integer(), comment="-1 is noise"),
        sa.Column("cluster_label", sa.String(255)),
        sa.Column("cluster_confidence", sa.REAL(), comment="0 to 1"),
        sa.Column(
            "memory_type",
            sa.Text(),
            server_default="general",
            nullable=False,
            comment="what it is for the application",
        ),
        sa.Column(
            "neuro_type",
            sa.Text(),
            server_default="episodic",
            nullable=False,
            comment="which human memory it is like; sets the default decay",
        ),
        sa.Column("importance", sa.SmallInteger(), server_default=sa.text("5"), nullable=False, comment="1 to 10"),
        sa.Column("decay_tier", sa.Text(), comment="null: none was chosen, nothing expires by itself"),
        sa.Column("decay_lambda", sa.REAL(), comment="decay per day; null: by neuro_type"),
        sa.Column("importance_decay", sa.REAL(), server_default=sa.text("1.0"), nullable=False, comment="0 to 1"),
        sa.Column(
            "ui_source",
            sa.String(50),
            server_default="api",
            nullable=False,
            comment="where in the application it was made",
        ),
        sa.Column(
            "ai_generated",
            sa.Boolean(),
            server_default=FALSE,
            nullable=False,
            comment="a model wrote it, nobody said it",
        ),
        sa.Column(
            "user_confirmed",
            sa.Boolean(),
            server_default=FALSE,
            nullable=False,
            comment="the user has said that it is right",
        ),
        sa.Column("expires_at", TIMESTAMP, comment="what the application asked for; see expiry"),
        sa.Column(
            "expiry",
            TIMESTAMP,
            sa.Computed(EXPIRY, persisted=True),
            comment="when it really expires: pinned never, else expires_at, else by tier",
        ),
        sa.Column("access_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_accessed", TIMESTAMP),
        sa.Column("deleted_at", TIMESTAMP, comment="soft delete"),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("embedding", VECTOR(op.embedding_dim()), comment="as wide as settings.embedding_dim says"),
        sa.Column("embedding_model", sa.String(100)),
        sa.Column(
            "embedding_bits",
            postgresql.BIT(op.embedding_dim()),
            sa.Computed("binary_quantize(embedding)", persisted=True),
            comment="one bit for each dimension: above zero or not",
        ),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_memory_nodes"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_memory_nodes_tenant_id_tenants", ondelete="CASCADE"
        ),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", column],
                [f"memstore.{table}.tenant_id", f"memstore.{table}.id"],
                name=f"fk_memory_nodes_tenant_id_{column}_{table}",
                ondelete=ondelete,
            )
            for column, table, ondelete in (
                ("user_id", "users", "CASCADE"),
                ("agent_id", "agents", "SET NULL (agent_id)"),
                ("session_id", "sessions", "SET NULL (session_id)"),
            )
        ),
        *(
            sa.CheckConstraint(f"{column} IN ({words})", name=op.f(f"ck_memory_nodes_{column}"))
            for column, words in VOCABULARIES.items()
        ),
        *(sa.CheckConstraint(condition, name=op.f(f"ck_memory_nodes_{name}")) for name, condition in CHECKS.items()),
        schema="memstore",
        comment="memories: the unit of what agents remember",
    )
    _create_indexes()
    before, after = (", ".join(f"{row}.{column}" for column in CHANGES) for row in ("OLD", "NEW"))
    op.execute(
        "CREATE TRIGGER touch BEFORE UPDATE ON memstore.memory_nodes FOR EACH ROW "
        f"WHEN (({before}) IS DISTINCT FROM ({after}) OR {OTHER_EMBEDDING}) EXECUTE FUNCTION memstore.touch()"
    )
    op.enable_tenant_isolation("memory_nodes")
    op.execute(RELEASE_KEYS)
    op.execute(
        "COMMENT ON FUNCTION memstore.release_keys() IS "
        "'keeps the facts of a deleted agent, without their natural keys: those go to metadata.released_key'"
    )
    op.execute(
        "CREATE TRIGGER release_keys BEFORE DELETE ON memstore.agents FOR EACH ROW "
        "EXECUTE FUNCTION memstore.release_keys()"
    )


def _create_indexes() -> None:
    def index(name: str, columns: list[object], **options: object) -> None:
        options = {key: sa.text(value) if key == "postgresql_where" else value for key, value in options.items()}
        op.create_index(name, "memory_nodes", columns, schema="memstore", **options)

    # A fact written twice is one fact, also without an agent or a user.
    index(
        "uq_memory_nodes_tenant_id_agent_id_user_id_key",
        ["tenant_id", "agent_id", "user_id", "key"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where="key IS NOT NULL AND deleted_at IS NULL",
    )
    # The newest memories of a user; deleting a user.
    index("ix_memory_nodes_tenant_id_user_id_created_at", ["tenant_id", "user_id", sa.text("created_at DESC")])
    # A conversation, in order.
    index(
        "ix_memory_nodes_tenant_id_conversation_id_sequence_index",
        ["tenant_id", "conversation_id", "sequence_index"],
        postgresql_where="conversation_id IS NOT NULL",
    )
    # An agent's or a session's memories; deleting either.
    index("ix_memory_nodes_tenant_id_agent_id", ["tenant_id", "agent_id"], postgresql_where="agent_id IS NOT NULL")
    index(
        "ix_memory_nodes_tenant_id_session_id", ["tenant_id", "session_id"], postgresql_where="session_id IS NOT NULL"
    )
    # What has expired.
    index("ix_memory_nodes_tenant_id_expiry", ["tenant_id", "expiry"], postgresql_where="expiry IS NOT NULL")
    # Words and tags.
    index("ix_memory_nodes_search_vector", ["search_vector"], postgresql_using="gin")
    index("ix_memory_nodes_tags", ["tags"], postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"})
    # Ranking one tenant's live rows by Hamming distance without touching the table.
    index(
        "ix_memory_nodes_tenant_id_user_id_id_bits",
        ["tenant_id", "user_id", "id"],
        postgresql_include=["embedding_bits", "expiry"],
        postgresql_where="deleted_at IS NULL",
    )
    op.restore_table("memory_nodes", schema="memstore")


def downgrade() -> None:
    op.execute("DROP TRIGGER release_keys ON memstore.agents")
    op.execute("DROP FUNCTION memstore.release_keys()")
    op.archive_table("memory_nodes", schema="memstore")
    op.drop_table("memory_nodes", schema="memstore")
