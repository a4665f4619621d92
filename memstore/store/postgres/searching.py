"""A search: one statement around `memstore.hybrid_search`, which does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results import Explanation, FoundBy, Hit, SearchPlan
from ..validation import as_plain
from .rows import COLUMNS, TABLE, WITH_EMBEDDING, memory_of, parameter

if TYPE_CHECKING:
    import asyncpg

    from ..validation import Question, Scope

_ARGUMENTS = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10"
# LATERAL with OFFSET 0: each hit by the primary key, whatever the planner thinks of how many hits a function returns.
_SEARCH = f"""
    SELECT m.*, s.score, s.vector_score, s.text_score, s.found_by FROM memstore.hybrid_search({_ARGUMENTS}) AS s
    CROSS JOIN LATERAL (
        SELECT {{columns}} FROM {TABLE} AS m WHERE m.tenant_id = $1 AND m.id = s.id OFFSET 0
    ) AS m
"""
SEARCH = _SEARCH.format(columns=COLUMNS)
SEARCH_WITH_EMBEDDING = _SEARCH.format(columns=WITH_EMBEDDING)
EXPLAIN = f"SELECT memstore.explain_search({_ARGUMENTS})"


def arguments_of(scope: Scope, question: Question) -> tuple[Any, ...]:
    """Return the parameters of a search."""
    return (
        scope.tenant_id,
        question.text,
        parameter("embedding", question.vector),
        question.limit,
        question.vector_weight,
        question.text_weight,
        scope.user_id,
        question.min_score,
        as_plain(question.conditions),
        question.plan.value,
    )


def hits_of(records: list[asyncpg.Record], *, with_embedding: bool) -> tuple[Hit, ...]:
    """Return hits, best first, those of equal scores by id in the order of code points."""
    hits = [
        Hit(
            memory_of(record, with_embedding=with_embedding),
            _clipped(record["score"]),
            None if (vector := record["vector_score"]) is None else _clipped(vector),
            record["text_score"],
            _FOUND_BY[record["found_by"]],
        )
        for record in records
    ]
    hits.sort(key=lambda hit: (-hit.score, hit.memory.id))
    return tuple(hits)


def explanation_of(told: dict[str, Any]) -> Explanation:
    """Return what `memstore.explain_search` says."""
    told = dict(told)
    plan = told.pop("plan", None)
    return Explanation(
        plan=None if plan is None else SearchPlan(plan),
        reason=told.pop("reason"),
        scope_rows=told.pop("scope_rows"),
        matching_rows=told.pop("matching_rows"),
        index=told.pop("index", None),
        details=told,
    )


def _clipped(score: float) -> float:
    return min(1.0, max(-1.0, score))  # a cosine of float32 vectors may be a hair beyond


_FOUND_BY = {each.value: each for each in FoundBy}
