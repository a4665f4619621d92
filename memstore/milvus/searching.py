"""Searching by a vector: the nearest from Milvus, what they are from PostgreSQL, and never fewer than there are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VectorError
from ..store import Explanation, FoundBy, Hit
from .conditions import EXPRESSIBLE, conditions_of
from .engine import FLAT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..store import Filters, Memory
    from ..store.postgres.scope import PostgresScope
    from ..store.validation import Question, Scope
    from .expressions import Conditions
    from .fields import CollectionSpec
    from .reader import Live, Reader

MOST = 16_384
"""How many a server returns at most."""
_WIDER = 4
MOST_WAITING = 2_000
"""With more changes of a tenant than these still on their way, its own reads go to PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search in Milvus found: where, and how many it looked at."""

    hits: tuple[Hit, ...]
    live: Live
    looked: int


class Searcher:
    """Searches of one scope."""

    def __init__(self, reader: Reader, postgres: PostgresScope, scope: Scope) -> None:
        self._reader, self._postgres, self._scope = reader, postgres, scope

    async def search(
        self, question: Question, asked: NDArray[Any], filters: Filters, with_embedding: bool, fresh: bool
    ) -> Found | None:
        """Return what was found; None where PostgreSQL has to be asked instead."""
        waiting: tuple[str, ...] = ()
        if fresh:
            missing = await self._postgres.not_in_mirror(MOST_WAITING + 1)
            if missing is None or len(missing) > MOST_WAITING:
                return None
            waiting = missing
        looked = question.limit if set(question.conditions) <= EXPRESSIBLE else _WIDER * question.limit
        while True:
            looked = min(looked, MOST)
            live, found = await self.ask(question, asked, looked, strong=fresh, fields=())
            scores = {entity["node_id"]: score for score, entity in found if entity["node_id"] not in waiting}
            memories = await self._postgres.get_matching(scores, filters, with_embedding=with_embedding)
            mirrored = [_hit(memories[id_], scores[id_]) for id_ in scores if id_ in memories]
            hits = mirrored + await self._overlaid(waiting, asked, filters, with_embedding)
            hits.sort(key=lambda hit: (-hit.score, hit.memory.id))
            best = _best(hits, question)
            is_all = len(found) < looked
            below = bool(found) and question.min_score is not None and found[-1][0] < question.min_score
            # What is on its way does not count: behind it there may be nearer ones that were not looked at.
            if len(_best(mirrored, question)) == question.limit or below:
                return Found(best, live, looked)
            if is_all:
                return None if await self._is_short(question, live, len(found)) else Found(best, live, looked)
            if looked == MOST:
                return None
            looked *= _WIDER

    async def _overlaid(
        self, waiting: tuple[str, ...], asked: NDArray[Any], filters: Filters, with_embedding: bool
    ) -> list[Hit]:
        """Return what is still on its way to Milvus, as PostgreSQL has it."""
        found = await self._postgres.get_matching(waiting, filters, with_embedding=True) if waiting else {}
        hits = [_hit(each, _cosine(each.embedding, asked)) for each in found.values() if each.embedding is not None]
        if with_embedding or not hits:
            return hits
        bare = await self._postgres.get_matching([hit.memory.id for hit in hits], filters)
        return [_hit(bare[hit.memory.id], hit.score) for hit in hits if hit.memory.id in bare]

    async def ask(
        self, question: Question, vector: Any, limit: int, *, strong: bool, fields: tuple[str, ...]
    ) -> tuple[Live, list[tuple[float, Any]]]:
        def conditions(spec: CollectionSpec) -> Conditions:
            if spec.dimensions != len(vector):
                raise VectorError(f"the vector has {len(vector)} dimensions, the collection has {spec.dimensions}")
            for name in fields:
                spec.field(name)
            return self._conditions(spec, question)

        return await self._reader.search(
            vector,
            conditions,
            limit=limit,
            fields=["node_id", *fields],
            consistency="Strong" if strong else "Bounded",
        )

    def _conditions(self, spec: CollectionSpec, question: Question) -> Conditions:
        return conditions_of(spec, self._scope, question.conditions, time.time())

    async def _is_short(self, question: Question, live: Live, found: int) -> bool:
        """Return whether an approximate index came up with fewer than there are."""
        if live.index == FLAT:
            return False
        return await self._reader.count(lambda spec: self._conditions(spec, question)) > found

    async def explained(self, question: Question, found: Found) -> Explanation:
        matching = await self._reader.count(lambda spec: self._conditions(spec, question))
        everything = await self._reader.count(
            lambda spec: conditions_of(spec, self._scope, {"include_deleted": True, "include_expired": True}, 0)
        )
        after = sorted(set(question.conditions) - EXPRESSIBLE)
        also = f"; {', '.join(after)} were asked of PostgreSQL" if after else ""
        return Explanation(
            plan=None,
            reason=f"in Milvus, {found.looked:,} nearest looked at{also}",
            scope_rows=everything,
            matching_rows=matching,
            index=found.live.index.type,
            details={"collection": found.live.name},
        )


def clipped(score: float) -> float:
    """Return a cosine, which of float32 vectors may be a hair beyond."""
    return min(1.0, max(-1.0, score))


def _hit(memory: Memory, score: float) -> Hit:
    score = clipped(score)
    return Hit(memory, score, score, None, FoundBy.VECTOR)


def _best(hits: list[Hit], question: Question) -> tuple[Hit, ...]:
    good = (hit for hit in hits if question.min_score is None or hit.score >= question.min_score)
    return tuple(good)[: question.limit]


def _cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
