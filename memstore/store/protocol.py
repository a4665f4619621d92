"""What every store can do, whatever it keeps memories in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .filters import NO_FILTERS, Filters
from .results import Added, Health, Order, Page, SearchPlan, SearchResult, Weights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from numpy.typing import ArrayLike

    from .memories import Memory, MemoryChange, NewMemory


class MemoryScope(Protocol):
    """The memories of one tenant, or of one user of it. Nothing reads or writes any other.

    Every method may raise TenantScopeError where the store refuses the scope, and ServerUnreachableError or
    StoreBusyError where it cannot be had; a call that raised has changed nothing.
    """

    async def add(self, memory: NewMemory) -> Memory:
        """Add a memory.

        Raises:
            MemoryExistsError: the tenant has one of that id, or a live one of that agent, user and key.
            InvalidMemoryError, VectorError: it cannot be kept; the message names the field.
            TenantScopeError: it is for another user than the scope's.
            UnknownTenantError, UnknownUserError, UnknownReferenceError: there is no such tenant, user, agent, session.
        """
        ...

    async def add_many(self, memories: Iterable[NewMemory], *, skip_existing: bool = False) -> Added:
        """Add all of these, or none. With `skip_existing` those whose id or key is taken are passed over."""
        ...

    async def get(
        self,
        memory_id: str,
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> Memory | None:
        """Return a memory, None where the scope has no such memory that is live."""
        ...

    async def get_many(
        self,
        ids: Iterable[str],
        *,
        with_embedding: bool = False,
        include_deleted: bool = False,
        include_expired: bool = False,
    ) -> dict[str, Memory]:
        """Return those of these that the scope has, by id, in the order of `ids`."""
        ...

    async def list(
        self,
        filters: Filters = NO_FILTERS,
        *,
        limit: int = 100,
        after: str | None = None,
        order: Order = Order.NEWEST,
        with_embedding: bool = False,
    ) -> Page:
        """Return a page of 1 to 1,000 memories; `after` is the `next` of the page before, of the same order.

        Raises:
            SettingsError: the limit is out of range, or `after` is not from a page of that order.
        """
        ...

    async def update(self, memory_id: str, change: MemoryChange, *, version: int) -> Memory:
        """Change a memory, if it is still at `version`, and return it as it is then.

        Raises:
            UnknownMemoryError: the scope has no such memory.
            StaleMemoryError: somebody changed it since; it carries the version found.
            InvalidMemoryError, VectorError, MemoryExistsError, UnknownReferenceError: as `add`.
        """
        ...

    async def delete(self, memory_id: str, *, hard: bool = False, version: int | None = None) -> bool:
        """Delete a memory softly (`deleted_at`), or for good; return whether there was something to delete.

        Raises:
            StaleMemoryError: it is not at `version`, where one was given.
        """
        ...

    async def record_access(self, ids: str | Collection[str]) -> int:
        """Count an access to each live memory of these, and when it was; return how many there are. No new version."""
        ...

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
        """Find the memories nearest to a vector, those that hold the words of a text, or both; best first.

        Args:
            vector: shape (D,) or (1, D), D being the width of the store's embeddings.
            text: a question in words, as somebody would ask it; anything in it is data.
            limit: how many at most, 1 to 1,000.
            min_score: leave out what scores less.
            filters: leave out what is not meant.
            weights: of the two sides, where both are asked for.
            plan: how to find the nearest vectors.
            with_embedding: return the embeddings too.
            explain: say how it was done, and why so.

        Raises:
            SettingsError: neither vector nor text was given, or something is out of range.
            VectorError: the vector has another width, is not finite, or has no cosine.
        """
        ...

    async def count(self, filters: Filters = NO_FILTERS) -> int:
        """Count memories."""
        ...

    async def health(self) -> Health:
        """Say how the store is; raises what keeps it from working."""
        ...


class MemoryStore(Protocol):
    """Where memories are kept. What it can do it does for one tenant at a time, in a `scope`."""

    def scope(self, tenant_id: UUID | str, user_id: UUID | str | None = None) -> MemoryScope:
        """Return the scope of a tenant, or of one user of it: memories of everybody in the tenant are not a user's.

        Raises:
            TenantScopeError: an id is not a UUID.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and files. What is under way fails."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
