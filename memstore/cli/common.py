"""What commands share: the database, whose memory is meant, and how results are printed."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from ..database import connecting
from ..settings import Settings
from ..store import tenant_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
UserOption = Annotated[UUID | None, typer.Option("--user-id", help="Whose memory: this user's.", metavar="UUID")]
TenantOption = Annotated[
    UUID | None, typer.Option("--tenant-id", help="Whose memory: this tenant's, everybody's in it.", metavar="UUID")
]
DimOption = Annotated[
    int | None,
    typer.Option("--embedding-dim", min=1, max=16_000, help="Width of embeddings, for a database that has none yet."),
]

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


@asynccontextmanager
async def database() -> AsyncIterator[tuple[AsyncEngine, Settings]]:
    """Open the database that DATABASE_URL names."""
    settings = Settings.from_env()
    async with connecting(settings.required_database_url(), application_name="memstore cli") as engine:
        yield engine, settings


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


def print_json(value: object) -> None:
    """Print a value as JSON, dataclasses as objects, ids and times as text."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
