"""Documents and the chunks they are cut into."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, TenantOwned, Versioned
from .constraints import is_sha256, json_is, not_empty, not_negative, tenant_foreign_key, words_of
from .relations import children, parent
from .types import json_object, sha256, str_100, str_255, uuid_key, words


class Document(TenantOwned, Versioned, Base):
    """A text that was brought in from somewhere: a page, a file, a ticket."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "source_uri"),
        not_empty("title"),
        # What fits into an entry of the unique index.
        CheckConstraint("octet_length(source_uri) BETWEEN 1 AND 2048", name="source_uri_length"),
        is_sha256("content_hash"),
        json_is("metadata", "object"),
        {"comment": "texts brought in from elsewhere"},
    )

    id: Mapped[uuid_key]
    department: Mapped[str_100 | None] = mapped_column(comment="whose it is within the tenant")
    title: Mapped[str]
    source_uri: Mapped[str | None] = mapped_column(comment="where it came from, at most 2048 bytes; null: nowhere")
    mime_type: Mapped[str_255 | None] = mapped_column(comment="RFC 6838, such as text/markdown")
    content_hash: Mapped[sha256 | None] = mapped_column(comment="sha256 of its bytes, to see whether it has changed")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    chunks: Mapped[list[DocumentChunk]] = children("DocumentChunk.document_id", "Document", reverse="document")


class DocumentChunk(TenantOwned, Base):
    """A piece of a document, small enough for a model."""

    __tablename__ = "document_chunks"
    __table_args__ = (
        tenant_foreign_key("document_id", Document, ondelete="CASCADE"),
        not_negative("chunk_index"),
        not_negative("token_count"),
        {"comment": "pieces of documents, small enough for a model"},
    )

    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk_index: Mapped[int] = mapped_column(primary_key=True, comment="place in the document, from 0")
    content: Mapped[str]
    token_count: Mapped[int | None] = mapped_column(comment="in tokens of the embedding model")
    search_vector: Mapped[words | None] = mapped_column(
        words_of("content"), deferred=True, deferred_raiseload=True, comment="lexemes of the content, English"
    )

    document: Mapped[Document] = parent("DocumentChunk.document_id", "Document", reverse="chunks")
