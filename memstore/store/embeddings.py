"""Embeddings of anything, by any registered model: thin wrappers of the functions that the database has for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Integer, String, bindparam, delete, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Float, Uuid

from ..database import driver_error
from ..errors import EmbeddingModelError, SettingsError, VectorError
from ..models import Distance, Embedding, EmbeddingModel
from ..scope import scope_of
from .checks import MAX_DIMENSIONS, check_text, checked_vector
from .filters import NO_FILTERS
from .results import FoundBy, SearchPlan, Weights
from .validation import checked_question

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from numpy.typing import ArrayLike
    from sqlalchemy.ext.asyncio import AsyncSession

_UPSERT = text("""
    SELECT id, changed FROM memstore.upsert_embedding(
        tenant => :tenant, source_type => :source_type, source_id => :source_id, model => :model,
        embedding => :embedding, content_hash => :content_hash, content => :content, chunk_index => :chunk_index,
        metadata => :metadata)
""").bindparams(
    bindparam("tenant", type_=Uuid()),
    bindparam("source_type", type_=String()),
    bindparam("source_id", type_=String()),
    bindparam("model", type_=String()),
    bindparam("embedding", type_=VECTOR()),
    bindparam("content_hash", type_=BYTEA()),
    bindparam("content", type_=String()),
    bindparam("chunk_index", type_=Integer()),
    bindparam("metadata", type_=JSONB()),
)
_SEARCH = (
    text("""
    SELECT id, source_type, source_id, chunk_index, content, metadata, similarity FROM memstore.similarity_search(
        tenant => :tenant, model => :model, query => :query, threshold => :threshold, match_count => :match_count,
        of_source_type => :source_type, of_source_id => :source_id, plan => :plan)
""")
    .bindparams(
        bindparam("tenant", type_=Uuid()),
        bindparam("model", type_=String()),
        bindparam("query", type_=VECTOR()),
        bindparam("threshold", type_=Float()),
        bindparam("match_count", type_=Integer()),
        bindparam("source_type", type_=String()),
        bindparam("source_id", type_=String()),
        bindparam("plan", type_=String()),
    )
    .columns(metadata=JSONB())
)
_HYBRID_SEARCH = (
    text("""
    SELECT id, source_type, source_id, chunk_index, content, metadata, score, vector_score, text_score, found_by
    FROM memstore.hybrid_search_embeddings(
        tenant => :tenant, model => :model, query_text => :text, query => :query, match_count => :match_count,
        vector_weight => :vector_weight, text_weight => :text_weight, of_source_type => :source_type,
        of_source_id => :source_id, min_score => :min_score, plan => :plan)
""")
    .bindparams(
        bindparam("tenant", type_=Uuid()),
        bindparam("model", type_=String()),
        bindparam("text", type_=String()),
        bindparam("query", type_=VECTOR()),
        bindparam("match_count", type_=Integer()),
        bindparam("vector_weight", type_=Float()),
        bindparam("text_weight", type_=Float()),
        bindparam("source_type", type_=String()),
        bindparam("source_id", type_=String()),
        bindparam("min_score", type_=Float()),
        bindparam("plan", type_=String()),
    )
    .columns(metadata=JSONB())
)


@dataclass(frozen=True, slots=True)
class EmbeddingHit:
    """An embedding that was found: `similarity` is 1 - cosine distance, from -1 to 1."""

    id: UUID
    source_type: str
    source_id: str
    chunk_index: int
    content: str | None
    metadata: dict[str, Any]
    similarity: float


@dataclass(frozen=True, slots=True)
class HybridEmbeddingHit:
    """An embedding that was found by its vector, by its words, or by both; scores are those of `Hit`."""

    id: UUID
    source_type: str
    source_id: str
    chunk_index: int
    content: str | None
    metadata: dict[str, Any]
    score: float
    vector_score: float | None
    text_score: float | None
    found_by: FoundBy


async def register_embedding_model(
    session: AsyncSession, name: str, dimensions: int, distance: Distance = Distance.COSINE
) -> None:
    """Register a model for all tenants; the same again changes nothing.

    Args:
        session: any session; the model is there for others when its transaction is committed.
        name: 1 to 100 characters.
        dimensions: width of its vectors, 1 to 16,000.
        distance: how its vectors compare.

    Raises:
        EmbeddingModelError: it is registered with another width or distance.
        SettingsError: the name or the width is out of range.
        ValueError: there is no such distance.
    """
    check_text("the name of a model", name, 100)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise SettingsError(f"the model {name!r} has {dimensions} dimensions. Needed: 1 to {MAX_DIMENSIONS:,}")
    values = {"name": name, "dimensions": dimensions, "distance": Distance(distance)}
    await session.execute(insert(EmbeddingModel).values(values).on_conflict_do_nothing())
    found = await session.get_one(EmbeddingModel, name, populate_existing=True)
    if (found.dimensions, found.distance) != (dimensions, distance):
        raise EmbeddingModelError(
            f"the model {name!r} is registered with {found.dimensions} dimensions and distance {found.distance}, not "
            f"with {dimensions} and {distance}. Register yours under another name"
        )


async def upsert_embedding(
    session: AsyncSession,
    source_type: str,
    source_id: str,
    model: str,
    embedding: ArrayLike,
    *,
    content_hash: bytes | None = None,
    content: str | None = None,
    chunk_index: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[UUID, bool]:
    """Keep one row for each source, model and chunk, however many write it; return its id, and whether it changed.

    Args:
        session: a `memstore.tenant_session`; the row is its tenant's.
        source_type: what was embedded, such as document.
        source_id: its id there.
        model: the name of a registered model.
        embedding: shape (D,), D being the width of the model.
        content_hash: sha256 of the text; worked out from `content` when None. The same as before changes nothing.
        content: the text, to be kept beside the vector.
        chunk_index: which piece of the source.
        metadata: free-form.

    Raises:
        EmbeddingModelError: there is no such model.
        VectorError: the vector has another width than the model, is not finite, or has no cosine.
        SettingsError: neither content nor content_hash was given, or a value is out of range or no text.
        TenantScopeError: the session is not of a tenant.
    """
    _check_source(source_type, source_id)
    check_text("the content", content or "")
    if content is None and content_hash is None:
        raise SettingsError("the embedding has neither content nor content_hash. Give one, to see when it changes")
    if content_hash is not None and len(content_hash) != 32:
        raise SettingsError(f"content_hash has {len(content_hash)} bytes. Needed: the 32 of a sha256")
    if not 0 <= chunk_index < 2**31:
        raise SettingsError(f"chunk_index is {chunk_index}. Needed: 0 to {2**31 - 1}")
    values = {
        "tenant": scope_of(session)[0],
        "source_type": source_type,
        "source_id": source_id,
        "model": model,
        "embedding": checked_vector(embedding),
        "content_hash": content_hash,
        "content": content,
        "chunk_index": chunk_index,
        "metadata": dict(metadata or {}),
    }
    row = (await _execute(session, _UPSERT, values)).one()
    return row.id, row.changed


async def similarity_search(
    session: AsyncSession,
    model: str,
    query: ArrayLike,
    *,
    threshold: float = -1.0,
    limit: int = 10,
    source_type: str | None = None,
    source_id: str | None = None,
    plan: SearchPlan = SearchPlan.AUTO,
) -> list[EmbeddingHit]:
    """Return the embeddings of a tenant by a model that are nearest to `query` by their cosine, best first.

    By their cosine whatever the distance that the model is registered with; never fewer than there are. Exact, by
    comparing all of them, or through the index of the model (`memstore index build`) where that takes less.

    Args:
        session: a `memstore.tenant_session`; its tenant is searched.
        model: the name of a registered model.
        query: shape (D,), D being the width of the model.
        threshold: the least similarity, from -1 to 1.
        limit: how many at most, 1 to 1,000.
        source_type: only embeddings of this kind of source.
        source_id: only embeddings of this source.
        plan: how to find them; `BITS`, which embeddings do not have, is exact.

    Raises:
        EmbeddingModelError: there is no such model.
        VectorError: the query has another width than the model, is not finite, or has no cosine.
        SettingsError: the limit or the threshold is out of range.
        TenantScopeError: the session is not of a tenant.
    """
    if not -1 <= threshold <= 1:
        raise SettingsError(f"the threshold is {threshold}. Needed: -1 to 1")
    question = checked_question(query, None, limit, None, NO_FILTERS, Weights(), plan)
    values = {
        "tenant": scope_of(session)[0],
        "model": model,
        "query": question.vector,
        "threshold": threshold,
        "match_count": question.limit,
        "source_type": source_type,
        "source_id": source_id,
        "plan": question.plan,
    }
    return [EmbeddingHit(**row._mapping) for row in await _execute(session, _SEARCH, values)]


async def hybrid_search_embeddings(
    session: AsyncSession,
    model: str,
    *,
    vector: ArrayLike | None = None,
    text: str | None = None,
    limit: int = 10,
    min_score: float | None = None,
    weights: Weights = Weights(),  # noqa: B008 -- frozen
    source_type: str | None = None,
    source_id: str | None = None,
    plan: SearchPlan = SearchPlan.AUTO,
) -> list[HybridEmbeddingHit]:
    """Return the embeddings of a tenant by a model that are nearest to a vector, hold the words of a text, or both.

    Scored as memories are, by the words of the tenant's embeddings by this model.

    Args:
        session: a `memstore.tenant_session`; its tenant is searched.
        model: the name of a registered model.
        vector: shape (D,), D being the width of the model.
        text: a question in words; anything in it is data.
        limit: how many at most, 1 to 1,000.
        min_score: leave out what scores less.
        weights: of the two sides, where both are asked for.
        source_type: only embeddings of this kind of source.
        source_id: only embeddings of this source.
        plan: how to find the nearest vectors; `BITS`, which embeddings do not have, is exact.

    Raises:
        EmbeddingModelError: there is no such model.
        VectorError: the vector has another width than the model, is not finite, or has no cosine.
        SettingsError: neither vector nor text was given, or something is out of range.
        TenantScopeError: the session is not of a tenant.
    """
    question = checked_question(vector, text, limit, min_score, NO_FILTERS, weights, plan)
    values = {
        "tenant": scope_of(session)[0],
        "model": model,
        "text": question.text,
        "query": question.vector,
        "match_count": question.limit,
        "vector_weight": question.vector_weight,
        "text_weight": question.text_weight,
        "source_type": source_type,
        "source_id": source_id,
        "min_score": question.min_score,
        "plan": question.plan,
    }
    rows = await _execute(session, _HYBRID_SEARCH, values)
    return [HybridEmbeddingHit(**{**row._mapping, "found_by": FoundBy(row.found_by)}) for row in rows]


async def delete_embeddings(session: AsyncSession, source_type: str, source_id: str, *, from_chunk: int = 0) -> int:
    """Delete the embeddings of a source, by all models, and return how many there were.

    Args:
        session: a `memstore.tenant_session`; only its tenant's are deleted.
        source_type: what was embedded.
        source_id: its id there.
        from_chunk: keep the pieces before this one, for a source that has become shorter.

    Raises:
        TenantScopeError: the session is not of a tenant.
    """
    tenant, _ = scope_of(session)
    _check_source(source_type, source_id)
    of_source = (Embedding.source_type == source_type, Embedding.source_id == source_id)
    statement = delete(Embedding).where(Embedding.tenant_id == tenant, *of_source, Embedding.chunk_index >= from_chunk)
    result: Any = await session.execute(statement)
    return int(result.rowcount)


def _check_source(source_type: str, source_id: str) -> None:
    check_text("source_type", source_type, 100)
    check_text("source_id", source_id, 255)


async def _execute(session: AsyncSession, statement: Any, values: dict[str, Any]) -> Any:
    """Run a function of the database; what it raises about models and widths becomes an error of ours."""
    try:
        return await session.execute(statement, values)
    except DBAPIError as error:
        cause: Any = driver_error(error)
        message = str(cause).splitlines()[0]
        match getattr(cause, "constraint_name", None):
            case "embedding_width":
                raise VectorError(f"{message}. Embed with that model, or name the one you used") from error
            case "embedding_model":
                raise EmbeddingModelError(f"{message}. Register it: memstore.store.register_embedding_model") from error
        raise
