"""The memories of a tenant, or of one user of it, in files."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..cursors import Cursor
from ..filters import NO_FILTERS, Filters
from ..results import Health, Order, Page, SearchPlan, SearchResult, Weights
from ..validation import (
    checked_change,
    checked_filters,
    checked_limit,
    checked_memory,
    checked_order,
    checked_question,
    checked_version,
    is_possible_id,
    possible_ids,
)
from .draft import check_width
from .filtering import matching
from .searching import explain as explain_search
from .searching import search as search_corpus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import TypeVar

    from numpy.typing import ArrayLike

    from ..memories import Memory, MemoryChange, NewMemory
    from ..results import Added
    from ..validation import Scope
    from .corpus import Corpus
    from .store import FileStore

    T = TypeVar("T")


class FileScope:
    """A `MemoryScope`; get one from `FileStore.scope`."""

    def __init__(self, store: FileStore, scope: Scope) -> None:
        self._store = store
        self._tenant_id, self._user_id = scope

    async def add(self, memory: NewMemory) -> Memory:
        """See `MemoryScope.add`."""
        values = checked_memory(memory, self._user_id)
        return _copied(await self._store.change(self._tenant_id, lambda draft: draft.add(values)))

    async def add_many(self, memories: Iterable[NewMemory], *, skip_existing: bool = False) -> Added:
        """See `MemoryScope.add_many`."""
        rows = [checked_memory(each, self._user_id) for each in memories]
        return await self._store.change(
            self._tenant_id, lambda draft: draft.add_many(rows, skip_existing=skip_existing)
        )

    async def get(
        self,
        memory_id: str,
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> Memory | None:
        """See `MemoryScope.get`."""
        found = await self.get_many(
            [memory_id],
            with_embedding=with_embedding,
            include_deleted=include_deleted,
            include_expired=include_expired,
        )
        return found.get(memory_id)

    async def get_many(
        self,
        ids: Iterable[str],
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> dict[str, Memory]:
        """See `MemoryScope.get_many`."""
        wanted = possible_ids(ids)
        flags = {"include_deleted": include_deleted, "include_expired": include_expired}
        conditions = {name: True for name, value in flags.items() if value}

        def find(corpus: Corpus) -> dict[str, Memory]:
            memories = [corpus.memories[id_] for id_ in wanted if id_ in corpus.memories]
            found = matching(memories, self._user_id, conditions)
            return {memory.id: _read(corpus, memory, with_embedding=with_embedding) for memory in found}

        return await self._store.read(self._tenant_id, find)

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
        limit, order, conditions = checked_limit(limit), checked_order(order), checked_filters(filters)
        cursor = None if after is None else Cursor.decoded(after, order)

        def page(corpus: Corpus) -> Page:
            found = matching(corpus.memories.values(), self._user_id, conditions)
            if cursor is not None:
                found = [memory for memory in found if _is_after(memory, cursor)]
            found.sort(key=lambda memory: memory.id)
            found.sort(key=lambda memory: memory.created_at, reverse=order is Order.NEWEST)
            last = found[limit - 1] if len(found) > limit else None
            return Page(
                tuple(_read(corpus, memory, with_embedding=with_embedding) for memory in found[:limit]),
                None if last is None else Cursor(order, last.created_at, last.id).encoded(),
            )

        return await self._store.read(self._tenant_id, page)

    async def update(self, memory_id: str, change: MemoryChange, *, version: int) -> Memory:
        """See `MemoryScope.update`."""
        values, expected = checked_change(change), checked_version(version)
        is_possible_id(memory_id)
        return _copied(
            await self._store.change(
                self._tenant_id, lambda draft: draft.update(memory_id, self._user_id, values, expected)
            )
        )

    async def delete(self, memory_id: str, *, hard: bool = False, version: int | None = None) -> bool:
        """See `MemoryScope.delete`."""
        expected = None if version is None else checked_version(version)
        if not is_possible_id(memory_id):
            return False
        return await self._store.change(
            self._tenant_id, lambda draft: draft.delete(memory_id, self._user_id, expected, hard=hard)
        )

    async def record_access(self, ids: str | Collection[str]) -> int:
        """See `MemoryScope.record_access`."""
        wanted = possible_ids([ids] if isinstance(ids, str) else ids)
        return await self._store.change(self._tenant_id, lambda draft: draft.record_access(wanted, self._user_id))

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
    ) -> SearchResult:
        """See `MemoryScope.search`. Whatever the plan, all memories of the scope are compared."""
        question = checked_question(vector, text, limit, min_score, filters, weights, plan)

        def find(corpus: Corpus) -> SearchResult:
            if question.vector is not None:
                check_width(len(question.vector), corpus.width)
            hits = (
                replace(hit, memory=_read(corpus, hit.memory, with_embedding=with_embedding))
                for hit in search_corpus(corpus, self._user_id, question)
            )
            return SearchResult(tuple(hits), explain_search(corpus, self._user_id, question) if explain else None)

        return await self._store.read(self._tenant_id, find)

    async def count(self, filters: Filters = NO_FILTERS) -> int:
        """See `MemoryScope.count`."""
        conditions = checked_filters(filters)
        return await self._store.read(
            self._tenant_id, lambda corpus: len(matching(corpus.memories.values(), self._user_id, conditions))
        )

    async def health(self) -> Health:
        """See `MemoryScope.health`."""
        began = time.perf_counter()
        width, memories = await self._store.read(
            self._tenant_id, lambda corpus: (corpus.width, len(matching(corpus.memories.values(), self._user_id, {})))
        )
        return Health(
            backend="file",
            embedding_dim=width,
            memories=memories,
            revision=None,
            seconds=time.perf_counter() - began,
        )


def _is_after(memory: Memory, cursor: Cursor) -> bool:
    if memory.created_at == cursor.created_at:
        return memory.id > cursor.id
    return (memory.created_at < cursor.created_at) is (cursor.order is Order.NEWEST)


def _read(corpus: Corpus, memory: Memory, *, with_embedding: bool) -> Memory:
    return _copied(memory, embedding=corpus.embedding_of(memory.id) if with_embedding else None)


def _copied(memory: Memory, **changes: Any) -> Memory:
    """Return a memory whose mappings may be changed without changing what the store keeps."""
    return replace(memory, tags=_plain(memory.tags), metadata=_plain(memory.metadata), **changes)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
