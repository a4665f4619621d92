"""`memstore milvus backup` and `restore`: a collection as Parquet, and back. They need Milvus alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .. import milvus as mirror
from ..milvus.naming import ALIAS
from .common import JsonOption, out, print_json, progress_bar
from .milvus import app, the_milvus

if TYPE_CHECKING:
    from ..milvus import BackupResult, RestoreResult

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the backup.")]


@app.command()
def backup(
    folder: FolderArgument,
    collection: Annotated[
        str, typer.Option("--collection", help="What is saved: an alias, or a collection by its own name.")
    ] = ALIAS,
    as_json: JsonOption = False,
) -> None:
    """Write every row of a collection, its schema, indexes, properties and aliases to a new folder, as Parquet."""

    async def run() -> BackupResult:
        async with the_milvus() as milvus:
            with progress_bar() as bar:
                return await mirror.write_backup(milvus, collection, folder, on_progress=bar)

    done = asyncio.run(run())
    if as_json:
        print_json(done)
        return
    out.print(
        escape(f"{done.name}: {done.rows:,} rows in {folder}, {done.bytes / 2**20:,.1f} MB, {done.seconds:.1f} s")
    )


@app.command()
def restore(
    folder: FolderArgument,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Under another name, and without its aliases.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the collection of a backup again. A damaged backup is refused before anything changes."""

    async def run() -> RestoreResult:
        async with the_milvus() as milvus:
            with progress_bar() as bar:
                return await mirror.restore_backup(milvus, folder, as_name=as_name, on_progress=bar)

    done = asyncio.run(run())
    if as_json:
        print_json(done)
        return
    aliases = (
        f", {' and '.join(done.aliases)} {'lead' if len(done.aliases) > 1 else 'leads'} there" if done.aliases else ""
    )
    out.print(escape(f"{done.name}: {done.rows:,} rows{aliases}, {done.seconds:.1f} s"))
    for change in done.adapted:
        out.print(escape(f"  {change}"))
    if ALIAS in done.aliases:
        out.print("What has changed since the backup is not in it. Type: memstore milvus verify --repair")
