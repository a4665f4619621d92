"""`memstore import`: bringing memories in."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..migrations import verify_schema
from ..store.indexes import IndexHandling
from ..transfer import DEFAULT_BATCH_SIZE, ImportResult, Progress, import_corpus
from .common import JsonOption, database, out, print_json, progress_bar
from .owner import TenantOption, UserOption, check_one_owner, resolve_owner

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None: ...


@app.command()
def corpus(
    folder: Annotated[Path, typer.Argument(help="A folder with corpus/nodes.json and vectors/nodes.npy.")],
    user_id: UserOption = None,
    tenant_id: TenantOption = None,
    batch_size: Annotated[int, typer.Option(min=1, max=100_000, help="Nodes in a transaction.")] = DEFAULT_BATCH_SIZE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, but write nothing.")] = False,
    keep_index: Annotated[
        bool, typer.Option("--keep-index", help="Load into the vector index, which is slow, while others search by it.")
    ] = False,
    no_index: Annotated[bool, typer.Option("--no-index", help="Neither drop nor build the vector index.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import a file corpus. What is there already stays, so a killed import is finished by running it again."""
    check_one_owner(user_id, tenant_id)
    if keep_index and no_index:
        raise typer.BadParameter("found --keep-index and --no-index, needed: one of them, or neither")
    index = IndexHandling.KEEP if keep_index else IndexHandling.LEAVE if no_index else IndexHandling.AUTO

    async def run(on_progress: Callable[[Progress], None]) -> ImportResult:
        async with database() as (engine, settings):
            await verify_schema(engine, embedding_dim=settings.embedding_dim)
            owner = await resolve_owner(engine, user_id, tenant_id)
            return await import_corpus(
                engine,
                folder,
                tenant_id=owner,
                user_id=user_id,
                batch_size=batch_size,
                dry_run=dry_run,
                index=index,
                on_progress=on_progress,
            )

    with progress_bar() as on_progress:
        result = asyncio.run(run(on_progress))
    if as_json:
        print_json(dataclasses.asdict(result) | {"rows_per_second": result.rows_per_second})
        return
    out.print(describe(result))
    for line in describe_index(result):
        out.print(line, markup=False)


def describe(result: ImportResult) -> str:
    """Return one line with what an import counted."""
    renamed = f" ({result.renamed:,} under an id of their own)" if result.renamed else ""
    inserted = "to insert" if result.dry_run else "inserted"
    return (
        f"{result.read:,} read, {result.inserted:,} {inserted}{renamed}, {result.already_there:,} already there, "
        f"{result.seconds:.1f} s, {result.rows_per_second:,.0f} rows/s"
        + (" (dry run: nothing was written)" if result.dry_run else "")
    )


def describe_index(result: ImportResult) -> list[str]:
    """Return what was done about the vector index, in a line or two; none where nothing was."""
    index, lines = result.index, []
    if index.dropped or index.built:
        lines.append(f"vector index: {index.dropped} dropped before, {index.built} built after, {index.seconds:.1f} s")
    return lines if index.note is None else [*lines, index.note]
