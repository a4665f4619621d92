"""The memories of a tenant, or of one user of it, in PostgreSQL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ...errors import SchemaMismatchError, StaleMemoryError, UnknownMemoryError
from ...models import MIRROR_TRIGGERS
from ..cursors import Cursor
from ..filters import NO_FILTERS, Filters
from ..results import Added, Health, Order, Page, SearchPlan, SearchResult, Weights
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
from . import adding, reading, searching, writing
from .conditions import hidden, where
from .refusals import refusals
from .rows import WRITTEN, memory_of, parameter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from typing import TypeVar

    import asyncpg
    from numpy.typing import ArrayLike

    from ..memories import Memory, MemoryChange, NewMemory
    from ..validation import Scope
    from .store import PostgresStore

    T = TypeVar("T")


class PostgresScope:
    """A `MemoryScope`; get one from `PostgresStore.scope`."""

    def __init__(self, store: PostgresStore, scope: Scope) -> None:
        self._store = store
        self._scope = scope
        self._of_user = scope.user_id is not None

    async def add(self, memory: NewMemory) -> Memory:
        """See `MemoryScope.add`."""
        values = checked_memory(memory, self._scope.user_id)
        await self._store.check_width(self._scope, values["embedding"])
        arguments = [parameter(name, values[name]) for name in WRITTEN]
        record = await self._run("add", lambda c: c.fetchrow(writing.INSERT, self._scope.tenant_id, *arguments))
        self._store.wrote(self._scope, 1)
        return memory_of(record)

    async def add_many(self, memories: Iterable[NewMemory], *, skip_existing: bool = False) -> Added:
        """See `MemoryScope.add_many`."""
        rows = [checked_memory(each, self._scope.user_id) for each in memories]
        for row in rows:
            await self._store.check_width(self._scope, row["embedding"])
        if not rows:
            return Added((), 0, 0)

        async def add(connection: asyncpg.Connection) -> Added:
            schema = self._store.connections.vector_schema
            return await adding.add_many(connection, schema, self._scope, rows, skip_existing=skip_existing)

        added = await self._run("add_many", add)
        self._store.wrote(self._scope, added.inserted)
        return added

    async def get(
        self,
        memory_id: str,
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> Memory | None:
        """See `MemoryScope.get`."""
        if not is_possible_id(memory_id):
            return None
        conditions = hidden(include_deleted=include_deleted, include_expired=include_expired)
        statement, arguments = reading.get(self._scope, memory_id, conditions, with_embedding=with_embedding)
        record = await self._run("get", lambda c: c.fetchrow(statement, *arguments))
        return None if record is None else memory_of(record, with_embedding=with_embedding)

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
        conditions = hidden(include_deleted=include_deleted, include_expired=include_expired)
        return await self._by_ids("get_many", wanted, conditions, with_embedding=with_embedding)

    async def get_matching(
        self, ids: Iterable[str], filters: Filters = NO_FILTERS, *, with_embedding: bool = False
    ) -> dict[str, Memory]:
        """Return those of these that the scope has and that the filters mean, by id, in the order of `ids`."""
        wanted = possible_ids(ids)
        return await self._by_ids("get_matching", wanted, checked_filters(filters), with_embedding=with_embedding)

    async def not_in_mirror(self, limit: int) -> tuple[str, ...] | None:
        """Return the ids of memories of the tenant that a mirror has still to look at, or cannot hold, up to so many.

        None: nobody knows, since changes are not written down for it.
        """

        async def ask(connection: asyncpg.Connection) -> list[asyncpg.Record] | None:
            if not await connection.fetchval(reading.IS_MIRRORED, list(MIRROR_TRIGGERS)):
                return None
            records: list[asyncpg.Record] = await connection.fetch(reading.WAITING, self._scope.tenant_id, limit)
            return records

        records = await self._run("not_in_mirror", ask)
        return None if records is None else tuple(record["node_id"] for record in records)

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
        limit, order = checked_limit(limit), checked_order(order)
        statement, arguments = reading.page(
            self._scope,
            checked_filters(filters),
            limit=limit,
            after=None if after is None else Cursor.decoded(after, order),
            order=order,
            with_embedding=with_embedding,
        )
        records = await self._run("list", lambda c: c.fetch(statement, *arguments))
        memories = tuple(memory_of(record, with_embedding=with_embedding) for record in records[:limit])
        last = memories[-1] if len(records) > limit else None
        return Page(memories, None if last is None else Cursor(order, last.created_at, last.id).encoded())

    async def update(self, memory_id: str, change: MemoryChange, *, version: int) -> Memory:
        """See `MemoryScope.update`."""
        values, expected = checked_change(change), checked_version(version)
        await self._store.check_width(self._scope, values.get("embedding"))
        record = None
        if is_possible_id(memory_id):
            arguments = [memory_id, expected, *(parameter(name, value) for name, value in values.items())]
            statement = writing.update(self._of_user, tuple(values))
            record = await self._run(
                "update", lambda c: c.fetchrow(statement, *writing.of_scope(self._scope), *arguments)
            )
        if record is None:
            raise UnknownMemoryError(
                f"there is no memory {memory_id!r} in this scope. Name one of this tenant's or user's"
            )
        if record["id"] is None:
            raise _stale(memory_id, record["found_version"], expected)
        return memory_of(record)

    async def delete(self, memory_id: str, *, hard: bool = False, version: int | None = None) -> bool:
        """See `MemoryScope.delete`."""
        expected = None if version is None else checked_version(version)
        if not is_possible_id(memory_id):
            return False
        statement, arguments = writing.delete(self._of_user, hard), writing.of_scope(self._scope)
        record = await self._run("delete", lambda c: c.fetchrow(statement, *arguments, memory_id, expected))
        if record is None or (record["was_deleted"] and not hard):
            return False
        if not record["is_gone"]:
            raise _stale(memory_id, record["version"], expected)
        self._store.wrote(self._scope, 1)
        return True

    async def record_access(self, ids: str | Collection[str]) -> int:
        """See `MemoryScope.record_access`."""
        wanted = possible_ids([ids] if isinstance(ids, str) else ids)
        if not wanted:
            return 0
        statement, arguments = writing.record_access(self._of_user), writing.of_scope(self._scope)
        tag = await self._run("record_access", lambda c: c.execute(statement, *arguments, wanted))
        return int(tag.split()[-1])

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
        """See `MemoryScope.search`."""
        question = checked_question(vector, text, limit, min_score, filters, weights, plan)
        await self._store.check_width(self._scope, question.vector)
        arguments = searching.arguments_of(self._scope, question)
        statement = searching.SEARCH_WITH_EMBEDDING if with_embedding else searching.SEARCH

        async def ask(connection: asyncpg.Connection) -> tuple[list[asyncpg.Record], dict[str, Any] | None]:
            records = await connection.fetch(statement, *arguments)
            return records, await connection.fetchval(searching.EXPLAIN, *arguments) if explain else None

        began = time.perf_counter()
        with self._store.telemetry.span("search", {"memstore.search.type": question.kind.value}) as span:
            records, told = await self._transaction(ask)
            hits = searching.hits_of(records, with_embedding=with_embedding)
            span.set_attribute("memstore.search.plan", question.plan.value)
            span.set_attribute("memstore.search.results", len(hits))
        self._store.searched(self._scope, question, len(hits), time.perf_counter() - began)
        return SearchResult(hits, None if told is None else searching.explanation_of(told))

    async def count(self, filters: Filters = NO_FILTERS) -> int:
        """See `MemoryScope.count`."""
        statement, arguments = reading.count(self._scope, checked_filters(filters))
        found: int = await self._run("count", lambda c: c.fetchval(statement, *arguments))
        return found

    async def health(self) -> Health:
        """See `MemoryScope.health`."""
        began = time.perf_counter()
        clauses, arguments = where(self._scope, {})
        statement = reading.HEALTH.format(where=clauses)
        record = await self._run("health", lambda c: c.fetchrow(statement, *arguments))
        if not record["can_search"]:
            raise SchemaMismatchError(
                f"the database is at {record['revision']}, which has no memstore.hybrid_search. "
                "Run: memstore db upgrade",
                found=record["revision"],
                needed="0023_hybrid_search",
            )
        return Health(
            backend="postgres",
            embedding_dim=record["embedding_dim"],
            memories=record["memories"],
            revision=record["revision"],
            seconds=time.perf_counter() - began,
        )

    async def _by_ids(
        self, name: str, wanted: Sequence[str], conditions: Mapping[str, Any], *, with_embedding: bool
    ) -> dict[str, Memory]:
        if not wanted:
            return {}
        statement, arguments = reading.get_many(self._scope, wanted, conditions, with_embedding=with_embedding)
        records = await self._run(name, lambda c: c.fetch(statement, *arguments))
        found = {record["id"]: memory_of(record, with_embedding=with_embedding) for record in records}
        return {each: found[each] for each in wanted if each in found}

    async def _run(self, name: str, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        with self._store.telemetry.span(name):
            return await self._transaction(work)

    async def _transaction(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        with refusals(self._scope, self._store.connections.url):
            return await self._store.connections.run(self._scope.tenant_id, work)


def _stale(memory_id: str, found: int, expected: int | None) -> StaleMemoryError:
    return StaleMemoryError(
        f"the memory {memory_id!r} is at version {found}, not {expected}: somebody changed it. Read it again, and "
        "decide anew",
        found=found,
        expected=expected or 0,
    )
