"""Documents: texts brought in from elsewhere, and the chunks they are cut into.

Serves: a document by where it came from, so that bringing it in again finds it; its chunks in order.
Cost: new tables only.
Refused: the vectors of chunks in this table (a chunk may be embedded by more than one model: see embeddings).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007_documents"
down_revision = "0006_episodes"
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
        "documents",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("department", sa.String(100), comment="whose it is within the tenant"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("source_uri", sa.Text(), comment="where it came from, at most 2048 bytes; null: nowhere"),
        sa.Column("mime_type", sa.String(255), comment="RFC 6838, such as text/markdown"),
        sa.Column("content_hash", postgresql.BYTEA(), comment="sha256 of its bytes, to see whether it has changed"),
        sa.Column("metadata", postgresql.JSONB(), server_default=EMPTY_OBJECT, nullable=False, comment="free-form"),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_documents"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_documents_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "source_uri", name="uq_documents_tenant_id_source_uri"),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_documents_metadata_is_object")),
        sa.CheckConstraint("title <> ''", name=op.f("ck_documents_title_not_empty")),
        sa.CheckConstraint("octet_length(content_hash) = 32", name=op.f("ck_documents_content_hash_is_sha256")),
        sa.CheckConstraint("octet_length(source_uri) BETWEEN 1 AND 2048", name=op.f("ck_documents_source_uri_length")),
        schema="memstore",
        comment="texts brought in from elsewhere",
    )
    op.create_table(
        "document_chunks",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_index", sa.Integer(), nullable=False, comment="place in the document, from 0"),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("token_count", sa.Integer(), comment="in tokens of the embedding model"),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('english'::regconfig, left(coalesce(content, ''), 100000))", persisted=True),
            comment="lexemes of the content, English",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "document_id", "chunk_index", name="pk_document_chunks"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_document_chunks_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"],
            ["memstore.documents.tenant_id", "memstore.documents.id"],
            name="fk_document_chunks_tenant_id_document_id_documents",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("chunk_index >= 0", name=op.f("ck_document_chunks_chunk_index_not_negative")),
        sa.CheckConstraint("token_count >= 0", name=op.f("ck_document_chunks_token_count_not_negative")),
        schema="memstore",
        comment="pieces of documents, small enough for a model",
    )
    op.execute(
        "CREATE TRIGGER touch BEFORE UPDATE ON memstore.documents FOR EACH ROW "
        "WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION memstore.touch()"
    )
    for table in ("documents", "document_chunks"):
        op.enable_tenant_isolation(table)
    for table in ("documents", "document_chunks"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("document_chunks", "documents"):
        op.archive_table(table, schema="memstore")
    op.drop_table("document_chunks", schema="memstore")
    op.drop_table("documents", schema="memstore")
