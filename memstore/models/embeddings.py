"""Embeddings of anything, by any model."""

from __future__ import annotations

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Computed, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base, Created, TenantOwned, Versioned
from .constraints import has_cosine, in_range, is_sha256, json_is, not_empty, not_negative, one_of, words_of
from .types import count, json_object, sha256, str_100, str_255, uuid_key, words
from .vocabulary import Distance


class EmbeddingModel(Created, Base):
    """A model that embeds, registered once for all tenants: how wide its vectors are, and how they compare."""

    __tablename__ = "embedding_models"
    __table_args__ = (
        UniqueConstraint("name", "dimensions"),  # the target of embeddings.dimensions
        not_empty("name"),
        in_range("dimensions", 1, 16_000),
        one_of("distance", Distance),
        {"comment": "models that embed, shared by all tenants"},
    )

    name: Mapped[str_100] = mapped_column(primary_key=True)
    dimensions: Mapped[int] = mapped_column(comment="width of its vectors, 1 to 16000")
    distance: Mapped[Distance] = mapped_column(server_default=Distance.COSINE, comment="how its vectors compare")

    embeddings: Mapped[list[Embedding]] = relationship(
        back_populates="embedding_model", lazy="raise", passive_deletes="all", foreign_keys="Embedding.model"
    )


class Embedding(TenantOwned, Versioned, Base):
    """The vector that a model made of a text, wherever the text is: `source_type` and `source_id` say."""

    __tablename__ = "embeddings"
    __table_args__ = (
        ForeignKeyConstraint(["model", "dimensions"], ["embedding_models.name", "embedding_models.dimensions"]),
        UniqueConstraint("tenant_id", "source_type", "source_id", "model", "chunk_index"),
        Index(None, "search_vector", postgresql_using="gin"),
        not_empty("source_type"),
        not_empty("source_id"),
        not_negative("chunk_index"),
        is_sha256("content_hash"),
        has_cosine("embedding"),
        json_is("metadata", "object"),
        {"comment": "vectors of any width, one row for each source, model and chunk"},
    )

    id: Mapped[uuid_key]
    source_type: Mapped[str_100] = mapped_column(comment="what was embedded, such as document or memory")
    source_id: Mapped[str_255] = mapped_column(comment="its id there")
    chunk_index: Mapped[count] = mapped_column(comment="which piece of it, from 0")
    model: Mapped[str_100] = mapped_column(comment="the name of an embedding model")
    dimensions: Mapped[int] = mapped_column(
        Computed("vector_dims(embedding)", persisted=True), comment="width of the vector, which must be the model's"
    )
    content: Mapped[str | None] = mapped_column(comment="the text that was embedded, where it is kept here too")
    content_hash: Mapped[sha256] = mapped_column(comment="sha256 of the text: the same again changes nothing")
    embedding: Mapped[list[float]] = mapped_column(VECTOR())
    search_vector: Mapped[words | None] = mapped_column(
        words_of("content"), deferred=True, deferred_raiseload=True, comment="lexemes of the content, English"
    )
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")

    embedding_model: Mapped[EmbeddingModel] = relationship(
        back_populates="embeddings", lazy="raise", foreign_keys=[model]
    )
