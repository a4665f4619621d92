"""The trail of who did what with which memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..models import AccessType, MemoryAccess
from ..scope import scope_of
from .checks import check_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


async def log_access(
    session: AsyncSession,
    access_type: AccessType,
    memory_id: str | None = None,
    *,
    user_id: UUID | None = None,
    correlation_id: str | None = None,
    query_text: str | None = None,
    results_count: int | None = None,
    processing_time_ms: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> MemoryAccess:
    """Write to the access log in the transaction of the access: both are there, or neither is.

    The entry stays when the memory is deleted for good, and, without the name, when the user is.

    Args:
        session: a `memstore.tenant_session`, whose tenant had access.
        access_type: what was done.
        memory_id: with which memory; None for a search.
        user_id: who it was, for a service that acts for somebody; by default the user of the session.
        correlation_id: the application's id of the request.
        query_text: what was searched for.
        results_count: how many memories were found.
        processing_time_ms: how long it took, milliseconds; kept to the microsecond.
        metadata: free-form.

    Raises:
        TenantScopeError: the session is not of a tenant, or is of another user.
        SettingsError: a value is out of range or no text.
        ValueError: there is no such access type.
    """
    tenant, user = scope_of(session)
    for what, value in (("memory_id", memory_id), ("correlation_id", correlation_id)):
        if value is not None:
            check_text(what, value, 255)
    check_text("query_text", query_text or "")
    for what, number in (("results_count", results_count), ("processing_time_ms", processing_time_ms)):
        if number is not None and not 0 <= number < 2**31:
            raise SettingsError(f"{what} is {number}. Needed: 0 to {2**31 - 1}")
    entry = MemoryAccess(
        tenant_id=tenant,
        user_id=user_id or user,
        memory_id=memory_id,
        access_type=AccessType(access_type),
        correlation_id=correlation_id,
        query_text=query_text,
        results_count=results_count,
        processing_time_ms=None if processing_time_ms is None else round(processing_time_ms, 3),
        metadata_=dict(metadata or {}),
    )
    session.add(entry)
    await session.flush()
    return entry
