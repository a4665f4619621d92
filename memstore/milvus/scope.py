"""The memories of a tenant, or of one user of it, the nearest found in Milvus."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..store import Filters, Health, Order, Page, SearchPlan, SearchResult, Weights
from ..store.validation import checked_question
from .conditions import EXPRESSIBLE
from .searching import Searcher, clipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike

    from ..store import Memory
    from ..store.postgres.scope import PostgresScope
    from ..store.validation import Scope
    from .reader import Reader

NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class MirrorHit:
    """What Milvus found, as it has it: `score` is the cosine, -1 to 1, `fields` are those that were asked for."""

    memory_id: str
    score: float
    fields: Mapping[str, Any]


class MilvusScope:
    """The read side of a `MemoryScope`; get one from `MilvusStore.scope`.

    `get`, `get_many`, `list`, `count` and `health` are PostgreSQL's own.
    """

    def __init__(self, reader: Reader, postgres: PostgresScope, scope: Scope) -> None:
        self._reader, self._postgres = reader, postgres
        self._searcher = Searcher(reader, postgres, scope)

    async def get(
        self,
        memory_id: str,
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> Memory | None:
        """See `MemoryScope.get`."""
        return await self._postgres.get(
            memory_id,
            with_embedding=with_embedding,
            include_deleted=include_deleted,
            include_expired=include_expired,
        )

    async def get_many(
        self,
        ids: Iterable[str],
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> dict[str, Memory]:
        """See `MemoryScope.get_many`."""
        return await self._postgres.get_many(
            ids, with_embedding=with_embedding, include_deleted=include_deleted, include_expired=include_expired
        )

    async def list(
        self,
        filters: Filters = NO_FILTERS,
        *,
        limit: int = 100,
        after: str | None = None,
        order: Order = Order.NEWEST,
        with_embedding: bool = False,
    ) -> Page:
        """See `MemoryScope.list`."""
        return await self._postgres.list(filters, limit=limit, after=after, order=order, with_embedding=with_embedding)

    async def count(self, filters: Filters = NO_FILTERS) -> int:
        """See `MemoryScope.count`."""
        return await self._postgres.count(filters)

    async def health(self) -> Health:
        """See `MemoryScope.health`. Raises also what keeps Milvus from being searched."""
        await self._reader.live()
        return replace(await self._postgres.health(), backend="milvus")

    async def search(
        self,
        *,
        vector: ArrayLike | None = None,
        text: str | None = None,
        limit: int = 10,
        min_score: float | None = None,
        filters: Filters = NO_FILTERS,
        weights: Weights = Weights(),  # noqa: B008 -- frozen
        plan: SearchPlan = SearchPlan.AUTO,
        with_embedding: bool = False,
        explain: bool = False,
        read_your_writes: bool = False,
    ) -> SearchResult:
        """See `MemoryScope.search`: the nearest found in Milvus, each as PostgreSQL has it at this moment.

        A text, and a plan other than `auto`, are PostgreSQL's: Milvus has no words. It is asked too where Milvus found
        fewer than there are.

        With `read_your_writes` it sees also what was committed before it was called and has not reached Milvus, and
        what Milvus cannot hold; where changes are not written down for the mirror, PostgreSQL is asked.

        Raises:
            MilvusStateError, MilvusUnreachableError, MilvusRefusedError: Milvus cannot be searched.
            SettingsError, VectorError: as everywhere.
        """
        question = checked_question(vector, text, limit, min_score, filters, weights, plan)
        asked = question.vector
        if asked is not None and question.text is None and question.plan is SearchPlan.AUTO:
            found = await self._searcher.search(question, asked, filters, with_embedding, read_your_writes)
            if found is not None:
                return SearchResult(found.hits, await self._searcher.explained(question, found) if explain else None)
        return await self._postgres.search(
            vector=vector,
            text=text,
            limit=limit,
            min_score=min_score,
            filters=filters,
            weights=weights,
            plan=plan,
            with_embedding=with_embedding,
            explain=explain,
        )

    async def nearest(
        self,
        vector: ArrayLike,
        *,
        limit: int = 10,
        min_score: float | None = None,
        filters: Filters = NO_FILTERS,
        fields: Iterable[str] = (),
        strong: bool = False,
    ) -> tuple[MirrorHit, ...]:
        """Find the nearest in Milvus alone: as it has them, which may be a little behind; PostgreSQL is not asked.

        Args:
            vector: shape (D,), the question.
            limit: how many at most, 1 to 1,000.
            min_score: leave out what scores less.
            filters: those that a collection has the fields for: see `conditions.EXPRESSIBLE`; moments to the second.
            fields: of the collection, returned with each hit.
            strong: see everything that Milvus has acknowledged, which takes longer.

        Raises:
            SettingsError: a filter is one that only PostgreSQL can answer.
            MilvusStateError, MilvusUnreachableError, MilvusRefusedError: Milvus cannot be searched.
        """
        question = checked_question(vector, None, limit, min_score, filters, Weights(), SearchPlan.AUTO)
        if strange := set(question.conditions) - EXPRESSIBLE:
            raise SettingsError(
                f"Milvus has no field for the filters {', '.join(sorted(strange))}. Use search(), which asks PostgreSQL"
            )
        wanted = tuple(fields)
        _, found = await self._searcher.ask(question, question.vector, question.limit, strong=strong, fields=wanted)
        return tuple(
            MirrorHit(entity["node_id"], clipped(score), {name: entity[name] for name in wanted})
            for score, entity in found
            if min_score is None or score >= min_score
        )
