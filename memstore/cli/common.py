"""What commands share: the database, how far they are, and how results are printed."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from ..database import connecting
from ..settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
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


def print_json_line(**fields: object) -> None:
    """Print an event as one line of JSON, at once."""
    sys.stdout.write(json.dumps(fields, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
