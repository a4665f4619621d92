"""Embeddings: vectors of anything, of any width, by registered models.

Serves: one row for each source, model and chunk, and all rows of a source. A vector that is not as wide as its model
says is refused by a foreign key over a generated column.
Cost: new tables only.
Refused: a table for each width (a model more would be a migration more); a foreign key to what was embedded (it may be
anything, also outside of memstore).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

revision = "0008_embeddings"
down_revision = "0007_documents"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
CURRENT_TENANT = sa.text("memstore.current_tenant()")
UUID_DEFAULT = sa.text("gen_random_uuid()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)

# All that may be written; generated columns cannot be named here, and follow from these.
CHANGES = (
    "tenant_id id source_type source_id chunk_index model content content_hash metadata created_at updated_at version"
).split()
# IS DISTINCT FROM cannot say which schema the operator of a vector is in: a dump with one could not be restored.
OTHER_EMBEDDING = "OLD.embedding <> NEW.embedding"


def upgrade() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False, comment="width of its vectors, 1 to 16000"),
        sa.Column("distance", sa.Text(), server_default="cosine", nullable=False, comment="how its vectors compare"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_embedding_models"),
        sa.UniqueConstraint("name", "dimensions", name="uq_embedding_models_name_dimensions"),
        sa.CheckConstraint("distance IN ('cosine', 'l2', 'inner_product')", name=op.f("ck_embedding_models_distance")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_embedding_models_name_not_empty")),
        sa.CheckConstraint("dimensions BETWEEN 1 AND 16000", name=op.f("ck_embedding_models_dimensions_range")),
        schema="memstore",
        comment="models that embed, shared by all tenants",
    )
    op.create_table(
        "embeddings",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column(
            "source_type", sa.String(100), nullable=False, comment="what was embedded, such as document or memory"
        ),
        sa.Column("source_id", sa.String(255), nullable=False, comment="its id there"),
        sa.Column(
            "chunk_index",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="which piece of it, from 0",
        ),
        sa.Column("model", sa.String(100), nullable=False, comment="the name of an embedding model"),
        sa.Column(
            "dimensions",
            sa.Integer(),
            sa.Computed("vector_dims(embedding)", persisted=True),
            nullable=False,
            comment="width of the vector, which must be the model's",
        ),
        sa.Column("content", sa.Text(), comment="the text that was embedded, where it is kept here too"),
        sa.Column(
            "content_hash",
            postgresql.BYTEA(),
            nullable=False,
            comment="sha256 of the text: the same again changes nothing",
        ),
        sa.Column("embedding", VECTOR(), nullable=False),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('english'::regconfig, left(coalesce(content, ''), 100000))", persisted=True),
            comment="lexemes of the content, English",
        ),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_embeddings"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_embeddings_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model", "dimensions"],
            ["memstore.embedding_models.name", "memstore.embedding_models.dimensions"],
            name="fk_embeddings_model_dimensions_embedding_models",
        ),
        sa.UniqueConstraint(
            "tenant_id",
            "source_type",
            "source_id",
            "model",
            "chunk_index",
            name="uq_embeddings_tenant_id_source_type_source_id_model_chunk_index",
        ),
        sa.CheckConstraint(
            "(embedding <=> embedding) <> 'NaN'::double precision", name=op.f("ck_embeddings_embedding_has_cosine")
        ),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_embeddings_metadata_is_object")),
        sa.CheckConstraint("source_id <> ''", name=op.f("ck_embeddings_source_id_not_empty")),
        sa.CheckConstraint("source_type <> ''", name=op.f("ck_embeddings_source_type_not_empty")),
        sa.CheckConstraint("chunk_index >= 0", name=op.f("ck_embeddings_chunk_index_not_negative")),
        sa.CheckConstraint("octet_length(content_hash) = 32", name=op.f("ck_embeddings_content_hash_is_sha256")),
        schema="memstore",
        comment="vectors of any width, one row for each source, model and chunk",
    )
    before, after = (", ".join(f"{row}.{column}" for column in CHANGES) for row in ("OLD", "NEW"))
    op.execute(
        "CREATE TRIGGER touch BEFORE UPDATE ON memstore.embeddings FOR EACH ROW "
        f"WHEN (({before}) IS DISTINCT FROM ({after}) OR {OTHER_EMBEDDING}) EXECUTE FUNCTION memstore.touch()"
    )
    op.enable_tenant_isolation("embeddings")
    for table in ("embedding_models", "embeddings"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("embeddings", "embedding_models"):
        op.archive_table(table, schema="memstore")
    op.drop_table("embeddings", schema="memstore")
    op.drop_table("embedding_models", schema="memstore")
