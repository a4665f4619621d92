"""`memstore db revision`: beginning a revision, in a checkout of memstore."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..migrations.scaffold import NewRevision, generate_revisions, new_revision
from .common import JsonOption, database, out, print_json


def revision(
    message: Annotated[str, typer.Option("--message", "-m", help="What it does, in a few words.")],
    autogenerate: Annotated[
        bool, typer.Option("--autogenerate", help="Begin with what the models and the database, at head, differ in.")
    ] = False,
    replace: Annotated[
        str | None, typer.Option("--replace", help="A function, view, trigger or policy that it will replace.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a revision of memstore itself: the next id, its file, and its test. Needs a checkout.

    What is generated are several where some operations commit and others share a transaction, and none where the models
    and the database do not differ.
    """
    if autogenerate and replace is not None:
        raise typer.BadParameter("found --autogenerate and --replace, needed: at most one of them")

    async def run() -> tuple[NewRevision, ...]:
        if not autogenerate:
            return (await new_revision(message, replace=replace),)
        async with database() as (engine, _):
            return await generate_revisions(message, engine)

    begun = asyncio.run(run())
    if as_json:
        print_json(begun)
        return
    if not begun:
        out.print("no differences")
        return
    for each in begun:
        out.print(f"{each.path}\n{each.test_path}", markup=False)
    out.print("next: write them, then `make catalog` to describe what it does to the schema, and `make test`")
