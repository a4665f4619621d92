"""`memstore db`: migrating, and looking where a database stands."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .. import migrations
from ..migrations import MigrationStatus
from ..settings import Settings
from . import drift, evidence, linting, moving, revising
from .common import DimOption, JsonOption, database, out, print_json

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command()(moving.upgrade)
app.command()(moving.downgrade)
app.command()(drift.check)
app.command()(drift.adopt)
app.command()(evidence.verify)
app.command()(evidence.repair)
app.command()(revising.revision)
app.command()(linting.lint)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show the current revision, what is pending, and who applied what when. Changes nothing."""

    async def run() -> MigrationStatus:
        async with database() as (engine, _):
            return await migrations.status(engine)

    found = asyncio.run(run())
    if as_json:
        print_json(found)
        return
    out.print(f"current     {found.current or '(memstore is not installed here)'}")
    out.print(f"head        {found.head}")
    out.print(f"pending     {', '.join(found.pending) or 'nothing'}")
    out.print(f"embeddings  {f'{found.embedding_dim} dimensions' if found.embedding_dim else '-'}")
    out.print(f"server      PostgreSQL {found.server_version}, pgvector {found.vector_version or 'not installed'}")
    if found.unfinished:
        way = "upgrade" if found.unfinished.upward else "downgrade"
        out.print(
            f"unfinished  {found.unfinished.revision}: its {way} was interrupted; the next run brings it to its end"
        )
    if found.history:
        table = Table(box=None, pad_edge=False)
        for name in ("revision", "direction", "by", "at (UTC)", "took", "memstore"):
            table.add_column(name, no_wrap=True)
        for step in found.history:
            when = step.applied_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
            took = f"{step.duration_ms} ms"
            table.add_row(step.revision, step.direction, escape(step.applied_by), when, took, step.package_version)
        out.print()
        out.print(table)


@app.command()
def sql(
    start: Annotated[str, typer.Option("--from", help="The revision that the database is at.")] = "base",
    end: Annotated[str, typer.Option("--to", help="The revision to go to.")] = "head",
    embedding_dim: DimOption = None,
) -> None:
    """Print the SQL between two revisions, up or down, instead of running it. Needs no database."""
    dim = embedding_dim if embedding_dim is not None else Settings.from_env().embedding_dim
    sys.stdout.write(migrations.render_sql(start, end, embedding_dim=dim))


@app.command()
def grant(role: Annotated[str, typer.Argument(help="The role that the application connects as.")]) -> None:
    """Grant an application's role exactly what it needs. Run it again after an upgrade."""

    async def run() -> tuple[str, ...]:
        async with database() as (engine, _):
            await migrations.verify_schema(engine)
            return await migrations.grant(engine, role)

    for statement in asyncio.run(run()):
        out.print(escape(statement))
