"""`memstore retention`: ending what is over and purging what is old."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ..migrations import verify_schema
from ..store import RetentionPolicy, RetentionProgress, RetentionResult, run_retention
from ..store.retention_run import BATCH_SIZE
from .common import JsonOption, database, out, print_json, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(no_args_is_help=True, add_completion=False)

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _age(text: str) -> timedelta:
    """Read an age such as 90d."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"found {text!r}, needed: a number and one of s, m, h, d, w, such as 90d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


@app.callback()
def _group() -> None: ...


@app.command()
def run(
    activities: Annotated[
        timedelta | None, typer.Option(parser=_age, metavar="AGE", help="Delete activities older than this.")
    ] = None,
    metrics: Annotated[
        timedelta | None, typer.Option(parser=_age, metavar="AGE", help="Delete metrics older than this.")
    ] = None,
    sessions: Annotated[
        timedelta | None,
        typer.Option(
            parser=_age,
            metavar="AGE",
            help="Expire active sessions past their time, and archive closed ones not changed for this long.",
        ),
    ] = None,
    memories: Annotated[bool, typer.Option("--memories", help="Delete expired memories, for good.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in a transaction.")] = BATCH_SIZE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is due, but change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Do this for all tenants, in small batches. AGE is a number and one of s, m, h, d, w, such as 90d."""
    if not memories and all(age is None for age in (activities, metrics, sessions)):
        raise typer.BadParameter(
            "found none of --activities, --metrics, --sessions, --memories, needed: at least one of them"
        )
    policy = RetentionPolicy(activities=activities, metrics=metrics, sessions=sessions, memories=memories)

    async def run(on_progress: Callable[[RetentionProgress], None]) -> RetentionResult:
        async with database() as (engine, _):
            await verify_schema(engine)
            return await run_retention(engine, policy, batch_size=batch_size, dry_run=dry_run, on_progress=on_progress)

    with progress_bar() as on_progress:
        result = asyncio.run(run(on_progress))
    if as_json:
        print_json(result)
        return
    for step in result.steps:
        left = f", {step.left:,} left: in use by others, run it again later" if step.left else ""
        out.print(f"{step.name:17} {step.due:,} due, {step.done:,} {step.action}{left}")
    out.print(f"{result.seconds:.1f} s" + (" (dry run: nothing was changed)" if dry_run else ""))
