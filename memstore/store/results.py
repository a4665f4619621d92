"""What searching and reading return, and how a search may be steered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .memories import Memory


class SearchPlan(StrEnum):
    """How the nearest vectors of a scope are found."""

    AUTO = "auto"
    EXACT = "exact"
    """Compare all of them."""
    BITS = "bits"
    """Rank all of them by one bit a dimension, from a covering index, and the best of them again exactly."""
    INDEX = "index"
    """Walk the vector index until enough of the scope was met, and rank what was met again exactly."""


class FoundBy(StrEnum):
    """Which side of a search found a memory."""

    VECTOR = "vector"
    TEXT = "text"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Weights:
    """What each side of a hybrid search counts: not negative, and not both zero. Only their ratio matters."""

    vector: float = 0.7
    text: float = 0.3


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that was found.

    score: what the hits are ordered by. Searched with a vector only: the cosine, -1 to 1. With a text only: the
        `text_score`. With both: weighted, 0 to 1, `(vector * (1 + vector_score) / 2 + text * text_score) / (vector +
        text)`; a side that had nothing to ask for (a text of stop words) has no weight.
    vector_score: the cosine similarity, -1 to 1; None without vectors to compare.
    text_score: which share of the question's words, by how rare they are in the tenant, the memory holds: 0 to 1; None
        without words to look for.
    """

    memory: Memory
    score: float
    vector_score: float | None
    text_score: float | None
    found_by: FoundBy


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was done, and why so.

    plan: how the nearest vectors were found; None where there was no vector.
    reason: why, in words.
    scope_rows: how many memories the scope is thought to have.
    matching_rows: how many of them the filters are thought to leave.
    index: the vector index that was walked.
    details: whatever else the backend says; for PostgreSQL its own EXPLAIN.
    """

    plan: SearchPlan | None
    reason: str
    scope_rows: int
    matching_rows: int
    index: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of a search, best first; equal scores are ordered by id."""

    hits: tuple[Hit, ...]
    explanation: Explanation | None = None

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


class Order(StrEnum):
    """In which order memories are listed; those of the same moment by id."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of memories; `next` is what the following page begins `after`, None at the end."""

    memories: tuple[Memory, ...]
    next: str | None

    def __iter__(self) -> Iterator[Memory]:
        return iter(self.memories)

    def __len__(self) -> int:
        return len(self.memories)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of many memories: the id of each in their order, and how many were inserted, or there already."""

    ids: tuple[str, ...]
    inserted: int
    existing: int


@dataclass(frozen=True, slots=True)
class Health:
    """How a store is, as one scope sees it.

    embedding_dim: the width of its embeddings; None for files that have none yet.
    memories: live memories of the scope, counted.
    revision: the schema's revision; None for files.
    seconds: how long it took to find out.
    """

    backend: str
    embedding_dim: int | None
    memories: int
    revision: str | None
    seconds: float
