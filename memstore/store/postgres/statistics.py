"""Keeping what searches know of a tenant up to date: who writes much has it counted anew, after the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from ..background import Background
    from .connections import Connections

FEW_MEMORIES = 2_000
"""A tenant of no more is counted at the time of each search, and needs no statistics."""
_FEW_CHANGES = 500
_SLOW = 0.01

_REFRESH = "SELECT memstore.refresh_search_statistics($1)"
_KNOWN = "SELECT memories FROM memstore.search_statistics WHERE tenant_id = $1"
_COUNT = f"SELECT count(*) FROM (SELECT FROM memstore.memory_nodes WHERE tenant_id = $1 LIMIT {FEW_MEMORIES + 1}) AS m"


class Statistics:
    """What a store wrote for each tenant since its statistics were refreshed, and when that is due."""

    def __init__(self, connections: Connections, background: Background) -> None:
        self._connections = connections
        self._background = background
        self._written: dict[UUID, int] = {}
        self._known: dict[UUID, int] = {}
        self._due: set[UUID] = set()
        self._looked: set[UUID] = set()

    def wrote(self, tenant_id: UUID, rows: int) -> None:
        """Count rows that were written; refresh when they are more than 500 and more than a tenth of those known."""
        self._written[tenant_id] = self._written.get(tenant_id, 0) + rows
        if self._is_due(tenant_id):
            self._start(tenant_id)

    def searched(self, tenant_id: UUID, seconds: float) -> None:
        """Look once whether a tenant that is slow to search is large and has no statistics, such as after an import."""
        if seconds > _SLOW and tenant_id not in self._looked:
            self._looked.add(tenant_id)
            self._written.setdefault(tenant_id, 0)
            self._start(tenant_id)

    def _is_due(self, tenant_id: UUID) -> bool:
        return self._written.get(tenant_id, 0) > _much(self._known.get(tenant_id, 0))

    def _start(self, tenant_id: UUID) -> None:
        if tenant_id not in self._due:
            self._due.add(tenant_id)
            self._background.start(f"refreshing the search statistics of tenant {tenant_id}", self._look(tenant_id))

    async def _look(self, tenant_id: UUID) -> None:
        written = self._written.get(tenant_id, 0)
        try:
            known = await self._connections.run(tenant_id, lambda connection: _refresh(connection, tenant_id, written))
        finally:
            self._due.discard(tenant_id)
            self._written[tenant_id] -= written  # also where it failed: it is tried again after as many rows
        self._known[tenant_id] = known


async def _refresh(connection: asyncpg.Connection, tenant_id: UUID, written: int) -> int:
    """Refresh the statistics of a tenant if that is due by what it has, and return how many memories they know of."""
    known: int | None = await connection.fetchval(_KNOWN, tenant_id)
    if written <= _much(known or 0) and (
        known is not None or await connection.fetchval(_COUNT, tenant_id) <= FEW_MEMORIES
    ):
        return known or 0
    await connection.fetchval(_REFRESH, tenant_id)  # False: somebody else is at it, which does as well
    return await connection.fetchval(_KNOWN, tenant_id) or 0


def _much(known: int) -> float:
    return max(_FEW_CHANGES, known / 10)
