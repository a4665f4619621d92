"""The trail of who did what with which memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import TenantScopeError
from ..models import AccessType, MemoryAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession


async def log_access(
    session: AsyncSession,
    access_type: AccessType,
    memory_id: str | None = None,
    *,
    correlation_id: str | None = None,
    query_text: str | None = None,
    results_count: int | None = None,
    processing_time_ms: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> MemoryAccess:
    """Write to the access log in the transaction of the access: both are there, or neither is.

    The entry stays when the memory is deleted for good, and, without the name, when the user is.

    Args:
        session: a `memstore.tenant_session`; its tenant and user are those who had access.
        access_type: what was done.
        memory_id: with which memory; None for a search.
        correlation_id: the application's id of the request.
        query_text: what was searched for.
        results_count: how many memories were found.
        processing_time_ms: how long it took, milliseconds.
        metadata: free-form.

    Raises:
        TenantScopeError: the session is not of a tenant.
    """
    if "tenant_id" not in session.info:
        raise TenantScopeError("an access is logged in a tenant's session. Open one: memstore.tenant_session")
    entry = MemoryAccess(
        tenant_id=session.info["tenant_id"],
        user_id=session.info["user_id"],
        memory_id=memory_id,
        access_type=AccessType(access_type),
        correlation_id=correlation_id,
        query_text=query_text,
        results_count=results_count,
        processing_time_ms=processing_time_ms,
        metadata_=dict(metadata or {}),
    )
    session.add(entry)
    await session.flush()
    return entry
