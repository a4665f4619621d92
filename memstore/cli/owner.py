"""Whose memory a command is about: a user's, or a tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from ..store import tenant_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

UserOption = Annotated[UUID | None, typer.Option("--user-id", help="Whose memory: this user's.", metavar="UUID")]
TenantOption = Annotated[
    UUID | None, typer.Option("--tenant-id", help="Whose memory: this tenant's, everybody's in it.", metavar="UUID")
]


def check_one_owner(user_id: UUID | None, tenant_id: UUID | None) -> None:
    """Exit with 2 unless exactly one of a user and a tenant was named."""
    if (user_id is None) == (tenant_id is None):
        found = "neither" if user_id is None else "both"
        raise typer.BadParameter(f"found {found} of --user-id and --tenant-id, needed: exactly one of them")


async def resolve_owner(engine: AsyncEngine, user_id: UUID | None, tenant_id: UUID | None) -> UUID:
    """Return the tenant that is meant, by itself or by a user of it."""
    if tenant_id is not None:
        return tenant_id
    if user_id is None:
        raise TypeError("neither a user nor a tenant")
    return await tenant_of(engine, user_id)
