"""`memstore db upgrade` and `memstore db downgrade`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .. import migrations
from ..errors import MigrationError
from ..migrations import DowngradePlan, Fate
from .common import DimOption, database, out, print_json_line
from .progress import reporting

if TYPE_CHECKING:
    from ..migrations import MigrationResult

Revision = Annotated[str, typer.Argument(help="A revision, such as 0004_memory_nodes, or head or base.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print lines of JSON, for programs: progress, and the end.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def upgrade(revision: Revision = "head", embedding_dim: DimOption = None, as_json: JsonOption = False) -> None:
    """Bring the database up to a revision. Safe while it is used, and by several runners at once."""

    async def run() -> MigrationResult:
        async with database() as (engine, settings):
            dim = embedding_dim if embedding_dim is not None else settings.embedding_dim
            with reporting(as_json) as report:
                return await migrations.upgrade(
                    engine, revision, settings=settings, embedding_dim=dim, on_progress=report
                )

    _print_result(asyncio.run(run()), as_json)


def downgrade(revision: Revision, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Take the database down to a revision. `base` removes memstore.

    Says beforehand what would be archived or lost, and asks. What is archived comes back with the next upgrade.
    """
    if as_json and not yes:
        raise typer.BadParameter("found --json without --yes, needed: both, since nobody can be asked")

    async def plan() -> DowngradePlan:
        async with database() as (engine, _):
            return await migrations.plan_downgrade(engine, revision)

    async def run() -> MigrationResult:
        async with database() as (engine, settings):
            with reporting(as_json) as report:
                return await migrations.downgrade(engine, revision, settings=settings, on_progress=report)

    if not as_json:
        planned = asyncio.run(plan())
        _print_plan(planned)
        if planned.steps and not yes:
            _ask(revision)
    _print_result(asyncio.run(run()), as_json)


def _print_plan(plan: DowngradePlan) -> None:
    for step in plan.steps:
        out.print(f"{step.revision}  {step.level}")
        for each in step.at_stake:
            name = each.table if each.column is None else f"{each.table}.{each.column}"
            out.print(f"  {escape(name):40} {each.rows:>9,} rows  {each.fate if each.rows else '-'}")
        for removed in step.removes:
            out.print(f"  {escape(removed)}")
    for note in plan.notes:
        out.print(escape(note))
    at_stake = [each for step in plan.steps for each in step.at_stake]
    archived = sum(each.rows for each in at_stake if each.fate is Fate.ARCHIVED)
    lost = sum(each.rows for each in at_stake if each.fate is Fate.LOST)
    if archived:
        out.print(f"{archived:,} rows go to the schema memstore_archive, and come back with: memstore db upgrade")
    if lost:
        out.print(f"{lost:,} rows are lost")


def _ask(revision: str) -> None:
    if not sys.stdin.isatty():
        raise MigrationError(f"nothing was done: nobody can be asked. Type: memstore db downgrade {revision} --yes")
    if not typer.confirm("Go on?"):
        raise MigrationError("nothing was done")


def _print_result(result: MigrationResult, as_json: bool) -> None:
    if as_json:
        print_json_line(event="done", steps=result.steps)
        return
    for step in result.steps:
        out.print(f"{step.direction:9}  {step.revision:32}  {step.duration_ms:>6} ms")
        for moved in step.moved:
            out.print(escape(f"  {moved.direction} {moved.rows:,} rows of {moved.name}"))
            if moved.gone:
                out.print(f"  {moved.gone:,} values had no row to come back to")
    if not result.steps:
        out.print("nothing to do")
