"""Finding embeddings by a vector, by words, or by both: thin wrappers of the functions that the database has for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Integer, String, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Float, Uuid

from ..errors import SettingsError
from ..scope import scope_of
from .embeddings import execute_explained
from .filters import NO_FILTERS
from .postgres.searching import explanation_of
from .results import Explanation, FoundBy, SearchPlan, Weights
from .validation import checked_limit, checked_question

if TYPE_CHECKING:
    from uuid import UUID

    from numpy.typing import ArrayLike
    from sqlalchemy.ext.asyncio import AsyncSession

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
_EXPLAIN = (
    text("""
    SELECT memstore.explain_similarity_search(
        tenant => :tenant, model => :model, match_count => :match_count, of_source_type => :source_type,
        of_source_id => :source_id, plan => :plan) AS told
""")
    .bindparams(
        bindparam("tenant", type_=Uuid()),
        bindparam("model", type_=String()),
        bindparam("match_count", type_=Integer()),
        bindparam("source_type", type_=String()),
        bindparam("source_id", type_=String()),
        bindparam("plan", type_=String()),
    )
    .columns(told=JSONB())
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
    return [EmbeddingHit(**row._mapping) for row in await execute_explained(session, _SEARCH, values)]


async def explain_similarity_search(
    session: AsyncSession,
    model: str,
    *,
    limit: int = 10,
    source_type: str | None = None,
    source_id: str | None = None,
    plan: SearchPlan = SearchPlan.AUTO,
) -> Explanation:
    """Return how `similarity_search` would go about it with these arguments, and why so; nothing is searched.

    Raises:
        EmbeddingModelError: there is no such model.
        SettingsError: the limit is out of range.
        TenantScopeError: the session is not of a tenant.
    """
    values = {
        "tenant": scope_of(session)[0],
        "model": model,
        "match_count": checked_limit(limit),
        "source_type": source_type,
        "source_id": source_id,
        "plan": SearchPlan(plan),
    }
    return explanation_of((await execute_explained(session, _EXPLAIN, values)).scalar_one())


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
    rows = await execute_explained(session, _HYBRID_SEARCH, values)
    return [HybridEmbeddingHit(**{**row._mapping, "found_by": FoundBy(row.found_by)}) for row in rows]
