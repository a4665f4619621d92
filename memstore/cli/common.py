"""What commands share: the database, whose memory is meant, and how results are printed."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from ..database import connecting
from ..settings import Settings
from ..store import tenant_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

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


class Progress(Protocol):
    """How far a long command is: what it is at, and how much of that is done."""

    @property
    def phase(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


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


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Show how far a long command is: a bar on a terminal, nothing elsewhere."""
    if not err.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description:6}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=err) as bar:
        tasks: dict[str, TaskID] = {}

        def on_progress(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.total)
            bar.update(tasks[progress.phase], completed=progress.done, total=progress.total)

        yield on_progress


def print_json(value: object) -> None:
    """Print a value as JSON, dataclasses as objects, ids and times as text."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
