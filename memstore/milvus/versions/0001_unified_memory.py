"""The unified memory collection: a memory as those who read it by its vector know it.

Serves: search by vector within a tenant or a user, with the filters that do not need a text or JSON.
Texts, tags and metadata stay in PostgreSQL, which has the truth; results are read from there.
Refused: a field for each column (each one more is written with every access), null (servers before 2.5 have none).
"""

from __future__ import annotations

from memstore.milvus.fields import CollectionSpec, Field, Form, Kind, moment, text

revision = "0001_unified_memory"
down_revision = None

UUID = 36
WORD = 32
# Four bytes for each of as many characters as the column holds.
SHORT = 4 * 50
LONG = 4 * 255

# The rates of `memstore.decay_score`, for those who chose none.
DECAY = (
    "coalesce(m.decay_lambda, CASE m.neuro_type WHEN 'semantic' THEN 0.04 WHEN 'procedural' THEN 0.02 ELSE 0.12 END)"
    "::float4"
)


def upgrade(before: CollectionSpec | None) -> CollectionSpec:  # noqa: ARG001 -- there was nothing before
    return CollectionSpec(
        fields=(
            Field("id", Kind.VARCHAR, "id", Form.ENTITY_ID, UUID),
            text("org_id", "tenant_id", UUID),
            text("user_id", "user_id", UUID, indexed=True),
            text("node_id", "id", LONG, indexed=True),
            Field("embedding", Kind.VECTOR, "embedding"),
            text("memory_type", "memory_type", WORD, indexed=True),
            text("neuro_type", "neuro_type", WORD, indexed=True),
            text("decay_tier", "decay_tier", WORD, indexed=True),
            text("ui_source", "ui_source", SHORT, indexed=True),
            text("session_id", "session_id", UUID, indexed=True),
            text("conversation_id", "conversation_id", LONG, indexed=True),
            Field("importance", Kind.INT8, "importance", indexed=True),
            Field("importance_decay", Kind.FLOAT, "importance_decay"),
            Field("decay_lambda", Kind.FLOAT, DECAY),
            moment("created_at", "created_at", indexed=True),
            moment("updated_at", "updated_at", indexed=True),
            moment("last_accessed", "last_accessed", indexed=True),
            moment("expires_at", "expiry", indexed=True),
            Field("access_count", Kind.INT32, "access_count"),
            Field("ai_generated", Kind.BOOL, "ai_generated", indexed=True),
            Field("user_confirmed", Kind.BOOL, "user_confirmed", indexed=True),
            Field("is_deleted", Kind.BOOL, "deleted_at", Form.IS_SET, indexed=True),
            Field("version", Kind.INT32, "version"),
        )
    )


def downgrade(after: CollectionSpec) -> None:  # noqa: ARG001 -- nothing is left
    return None
