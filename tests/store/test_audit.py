from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore.errors import SettingsError, TenantScopeError
from memstore.models import AccessType, MemoryAccess, MemoryNode, User
from memstore.scope import tenant_session
from memstore.store import log_access
from tests.tenants import ACME, rows_of

ANN = UUID(rows_of(ACME)["users"][0]["id"])
MEMORY = rows_of(ACME)["memory_nodes"][0]["id"]


async def trail(engine: AsyncEngine) -> list[tuple[str, str | None, UUID | None]]:
    """What the log holds of this module's accesses, oldest first."""
    query = select(MemoryAccess).where(MemoryAccess.correlation_id == "test").order_by(MemoryAccess.accessed_at)
    async with AsyncSession(engine) as session:
        return [(entry.access_type, entry.memory_id, entry.user_id) for entry in await session.scalars(query)]


async def test_an_access_is_logged_with_who_and_what(seeded: AsyncEngine) -> None:
    async with tenant_session(seeded, ACME, ANN) as session:
        entry = await log_access(
            session,
            AccessType.SEARCH,
            correlation_id="test",
            query_text="tea",
            results_count=3,
            processing_time_ms=1.5,
            metadata={"limit": 10},
        )
        found = await session.get_one(MemoryAccess, (ACME, entry.id), populate_existing=True)
        assert (found.tenant_id, found.user_id, found.memory_id, found.query_text) == (ACME, ANN, None, "tea")
        assert (found.results_count, found.processing_time_ms, found.metadata_) == (3, 1.5, {"limit": 10})
    async with tenant_session(seeded, ACME) as session:
        await log_access(session, AccessType.READ, MEMORY, correlation_id="test")
    assert await trail(seeded) == [("search", None, ANN), ("read", MEMORY, None)]


async def test_an_access_that_is_rolled_back_was_none(seeded: AsyncEngine) -> None:
    async with tenant_session(seeded, ACME, ANN) as session:
        memory = await session.get_one(MemoryNode, (ACME, MEMORY))
        memory.content = "changed"
        await log_access(session, AccessType.UPDATE, MEMORY, correlation_id="test")
        await session.rollback()
    assert await trail(seeded) == []


async def test_the_trail_outlives_the_memory_and_the_user(seeded: AsyncEngine) -> None:
    async with tenant_session(seeded, ACME, ANN) as session:
        await log_access(session, AccessType.DELETE, MEMORY, correlation_id="test")
        await session.execute(delete(MemoryNode).where(MemoryNode.id == MEMORY))
    assert await trail(seeded) == [("delete", MEMORY, ANN)]
    async with AsyncSession(seeded) as session:
        await session.delete(await session.get_one(User, ANN))
        await session.commit()
    assert await trail(seeded) == [("delete", MEMORY, None)]


async def test_only_a_tenants_session_can_log(seeded: AsyncEngine) -> None:
    async with AsyncSession(seeded) as session:
        with pytest.raises(TenantScopeError, match="Open one: memstore.tenant_session"):
            await log_access(session, AccessType.READ, MEMORY)


async def test_a_service_logs_whom_it_acts_for_and_a_user_nobody_else(seeded: AsyncEngine) -> None:
    async with tenant_session(seeded, ACME) as session:
        await log_access(session, AccessType.READ, MEMORY, user_id=ANN, correlation_id="test")
    assert await trail(seeded) == [("read", MEMORY, ANN)]
    async with tenant_session(seeded, ACME, ANN) as session:
        with pytest.raises(TenantScopeError, match="in the scope of"):
            await log_access(session, AccessType.READ, MEMORY, user_id=UUID(int=99))
        await session.rollback()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"memory_id": "x" * 256}, "memory_id is .* Needed: 1 to 255"),
        ({"correlation_id": ""}, "correlation_id is ''. Needed: 1 to 255"),
        ({"query_text": "a\0b"}, "query_text holds a NUL"),
        ({"results_count": -1}, "results_count is -1. Needed: 0 to"),
        ({"processing_time_ms": float("nan")}, "processing_time_ms is nan. Needed: 0 to"),
    ],
)
async def test_a_value_that_cannot_be_stored_is_refused(
    seeded: AsyncEngine, given: dict[str, Any], reason: str
) -> None:
    async with tenant_session(seeded, ACME) as session:
        with pytest.raises(SettingsError, match=reason):
            await log_access(session, AccessType.SEARCH, **given)
        assert (await log_access(session, AccessType.SEARCH, processing_time_ms=1e-50)).processing_time_ms == 0


async def test_an_access_of_no_known_kind_is_refused(seeded: AsyncEngine) -> None:
    async with tenant_session(seeded, ACME) as session:
        with pytest.raises(ValueError, match="'peek' is not a valid AccessType"):
            await log_access(session, "peek", MEMORY)  # type: ignore[arg-type]
