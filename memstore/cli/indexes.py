"""`memstore index`: which vector indexes there are, and building, dropping and renewing them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ..migrations import verify_schema
from ..store.indexes import (
    IndexAction,
    IndexedTable,
    IndexMethod,
    IndexOptions,
    IndexReport,
    IndexRun,
    IndexSelection,
    IndexState,
    build_indexes,
    drop_indexes,
    index_status,
    rebuild_indexes,
)
from .common import database, out, print_json, print_json_line
from .progress import reporting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from ..migrations import Reporter
    from ..settings import Settings

# What `build` would do now.
_WOULD = {
    IndexAction.BUILT: "builds it",
    IndexAction.REBUILT: "builds it anew",
    IndexAction.KEPT: "keeps what there is",
    IndexAction.NONE: "builds none",
}

app = typer.Typer(no_args_is_help=True, add_completion=False)

TableOption = Annotated[list[IndexedTable] | None, typer.Option("--table", help="Only for this table.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only for the embeddings of this model.")]
MethodOption = Annotated[IndexMethod, typer.Option("--method", help="auto decides by rows and memory.")]
HalfvecOption = Annotated[
    bool | None,
    typer.Option("--halfvec/--no-halfvec", help="Half or full precision. Neither: half where it costs no recall."),
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="What a build may use, such as 2GB.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
LinesOption = Annotated[bool, typer.Option("--json", help="Print lines of JSON, for programs: progress, and the end.")]


@app.command()
def status(
    table: TableOption = None, model: ModelOption = None, memory: MemoryOption = None, as_json: JsonOption = False
) -> None:
    """Show which vector indexes there are, how they do, and what auto would build now and why. Changes nothing."""
    selection = IndexSelection(tuple(table or ()), model)

    async def run() -> IndexReport:
        async with database() as (engine, settings):
            await verify_schema(engine)
            return await index_status(engine, selection, memory_limit=memory, settings=settings)

    found = asyncio.run(run())
    if as_json:
        print_json(found)
        return
    for target in found.targets:
        name = target.table.value if target.model is None else f"{target.table.value} of {target.model}"
        about = "about " if target.estimated else ""
        out.print(escape(f"{name}: {about}{target.rows:,} vectors of {target.dimensions:,} dimensions"))
        for index in target.indexes:
            out.print(escape(f"  {_described(index)}"))
        if not target.indexes:
            out.print("  no index: searches are exact")
        out.print(escape(f"  auto: {target.auto}: {target.reason}"))
        out.print(f"  memstore index build: {_WOULD[target.build]}")
    for index in found.others:
        out.print(escape(f"not memstore's, left alone: {index.table.value}: {_described(index)}"))


@app.command()
def build(
    table: TableOption = None,
    model: ModelOption = None,
    method: MethodOption = IndexMethod.AUTO,
    halfvec: HalfvecOption = None,
    memory: MemoryOption = None,
    as_json: LinesOption = False,
) -> None:
    """Build what is wanted and missing, and drop what that takes the place of. Safe while the database is used."""
    selection, options = IndexSelection(tuple(table or ()), model), IndexOptions(method, halfvec, memory)
    _run(
        lambda engine, settings, report: build_indexes(
            engine, selection, options, settings=settings, on_progress=report
        ),
        as_json,
    )


@app.command()
def rebuild(
    table: TableOption = None,
    model: ModelOption = None,
    method: MethodOption = IndexMethod.AUTO,
    halfvec: HalfvecOption = None,
    memory: MemoryOption = None,
    as_json: LinesOption = False,
) -> None:
    """Build the indexes that there are anew, each beside the old one. auto leaves them as they are."""
    selection, options = IndexSelection(tuple(table or ()), model), IndexOptions(method, halfvec, memory)
    _run(
        lambda engine, settings, report: rebuild_indexes(
            engine, selection, options, settings=settings, on_progress=report
        ),
        as_json,
    )


@app.command()
def drop(table: TableOption = None, model: ModelOption = None, as_json: LinesOption = False) -> None:
    """Drop memstore's vector indexes. Searches find the same without them, but take longer."""
    selection = IndexSelection(tuple(table or ()), model)
    _run(
        lambda engine, settings, report: drop_indexes(engine, selection, settings=settings, on_progress=report), as_json
    )


def _run(work: Callable[[AsyncEngine, Settings, Reporter], Awaitable[IndexRun]], as_json: bool) -> None:
    async def run() -> IndexRun:
        async with database() as (engine, settings):
            await verify_schema(engine)
            with reporting(as_json) as report:
                return await work(engine, settings, report)

    done = asyncio.run(run())
    if as_json:
        print_json_line(
            event="done",
            results=done.results,
            tenants_refreshed=done.tenants_refreshed,
            seconds=done.seconds,
        )
        return
    for result in done.results:
        name = result.index or (
            result.table.value if result.model is None else f"{result.table.value} of {result.model}"
        )
        took = "" if result.action in (IndexAction.KEPT, IndexAction.NONE) else f", {result.seconds:.1f} s"
        size = "" if result.size is None else f", {_size(result.size)}"
        action = "no index" if result.action is IndexAction.NONE else result.action.value
        out.print(escape(f"{action:8}  {name}{size}{took}: {result.reason}"))
    if not done.results:
        out.print("nothing to do")


def _described(index: IndexState) -> str:
    kind = f"{index.method}{' halfvec' if index.halfvec else ''}"
    if index.lists is not None:
        kind += f", {index.lists:,} lists"
    if index.m is not None:
        kind += f", m {index.m}, ef_construction {index.ef_construction}"
    if index.being_built:
        state = "being built"
    elif not index.valid:
        state = "not valid: left behind by a killed run, memstore index build drops it"
    elif not index.by_cosine:
        state = "valid, but not by the cosine: no search of memstore uses it"
    else:
        state = "valid"
    built = "" if index.rows_at_build is None else f", built over {index.rows_at_build:,} vectors"
    stale = "" if index.stale is None else f", stale: {index.stale}. Type: memstore index rebuild"
    return f"{index.name}: {kind}, {state}, {_size(index.size)}, {index.scans:,} scans{built}{stale}"


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
