"""Searching all memories of a tenant, with the scores that `memstore.hybrid_search` gives."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ..results import Explanation, FoundBy, Hit, SearchPlan
from .filtering import matching
from .text import lexemes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from numpy.typing import NDArray

    from ..memories import Memory
    from ..validation import Question
    from .corpus import Corpus


def search(corpus: Corpus, user_id: UUID | None, question: Question) -> list[Hit]:
    """Return the memories that a question finds, best first.

    Raises:
        MissingPackageError: the question has a text, and the extra `file` is not installed.
    """
    meant = matching(corpus.memories.values(), user_id, question.conditions)
    similarities = {} if question.vector is None else _similarities(corpus, meant, question.vector)
    nearest = _nearest(similarities, max(50, 5 * question.limit))
    asked = frozenset() if question.text is None else lexemes(question.text)
    coverages = _coverages(corpus, asked, meant) if asked else {}
    found = []
    for memory in meant:
        similarity, coverage = similarities.get(memory.id), coverages.get(memory.id)
        by_vector, by_text = memory.id in nearest, bool(coverage)
        if not (by_vector or by_text):
            continue
        score = _score(question, similarity, coverage)
        if question.min_score is None or score >= question.min_score:
            side = FoundBy.BOTH if by_vector and by_text else FoundBy.TEXT if by_text else FoundBy.VECTOR
            found.append(Hit(memory, score, similarity, coverage, side))
    found.sort(key=lambda each: (-each.score, each.memory.id))
    return found[: question.limit]


def explain(corpus: Corpus, user_id: UUID | None, question: Question) -> Explanation:
    """Say how `search` goes about a question."""
    return Explanation(
        plan=None if question.vector is None else SearchPlan.EXACT,
        reason="files have no index: all memories that the filters leave are compared",
        scope_rows=len(matching(corpus.memories.values(), user_id, {"include_expired": True})),
        matching_rows=len(matching(corpus.memories.values(), user_id, question.conditions)),
        details={"text_plan": None if question.text is None else "count"},
    )


def _score(question: Question, similarity: float | None, coverage: float | None) -> float:
    if question.vector is None:
        return coverage or 0.0
    if question.text is None:
        return 0.0 if similarity is None else similarity
    near = 0.0 if similarity is None else (1 + similarity) / 2
    if coverage is None:  # there was nothing to look for in the text
        return near
    weights = question.vector_weight + question.text_weight
    return (question.vector_weight * near + question.text_weight * coverage) / weights


def _similarities(corpus: Corpus, meant: Sequence[Memory], vector: NDArray[np.float32]) -> dict[str, float]:
    """Return the cosine of each memory that has an embedding, by id."""
    rows = np.array([corpus.rows[memory.id] for memory in meant], np.intp)
    rows = rows[corpus.embedded[rows]]
    if not len(rows):
        return {}
    vectors = corpus.vectors if len(rows) == len(corpus.vectors) else corpus.vectors[rows]
    order = slice(None) if vectors is corpus.vectors else rows
    # Not by a matrix product, which adds up equal rows in different orders: they would differ in the last digit.
    dots = np.einsum("ij,j->i", vectors, vector).astype(np.float64)
    square = float(np.einsum("i,i->", vector, vector))
    cosines = np.clip(dots / np.sqrt(corpus.squares[order] * square), -1.0, 1.0)
    ids = list(corpus.memories)
    names = ids if vectors is corpus.vectors else [ids[row] for row in rows.tolist()]
    return dict(zip(names, cosines.tolist(), strict=True))


def _nearest(similarities: Mapping[str, float], count: int) -> set[str]:
    ordered = sorted(similarities.items(), key=lambda each: (-each[1], each[0]))
    return {id_ for id_, _ in ordered[:count]}


def _coverages(corpus: Corpus, asked: frozenset[str], meant: Iterable[Memory]) -> dict[str, float]:
    """Return by id which share of the words asked for, by how rare they are in the tenant, each memory holds."""
    held = {id_: corpus.words.of(memory) & asked for id_, memory in corpus.memories.items()}
    counted = [held[id_] for id_, memory in corpus.memories.items() if memory.deleted_at is None]
    frequency = Counter(word for each in counted for word in each)
    total = len(counted)
    rarity = {word: math.log(1 + (total - frequency[word] + 0.5) / (frequency[word] + 0.5)) for word in asked}
    whole = math.fsum(rarity.values())
    shares = {each: math.fsum(rarity[word] for word in each) / whole for each in set(held.values())}
    return {memory.id: shares[held[memory.id]] for memory in meant}
