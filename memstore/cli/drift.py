"""`memstore db check` and `memstore db adopt`: whether a schema is what its revision makes it."""

from __future__ import annotations

import asyncio
import difflib
from typing import Annotated

import typer

from .. import migrations
from ..errors import SchemaDriftError
from ..migrations import Difference, SchemaCheck
from .common import JsonOption, database, out, print_json


def check(as_json: JsonOption = False) -> None:
    """Compare the database with the schema of its revision, object by object. Exits 1 on a difference. Only reads."""

    async def run() -> SchemaCheck:
        async with database() as (engine, _):
            return await migrations.check(engine)

    found = asyncio.run(run())
    if as_json:
        print_json(found)
    else:
        _print_differences(found.differences)
        summary = f"{len(found.differences) or 'no'} difference{'' if len(found.differences) == 1 else 's'}"
        out.print(f"{summary} from {found.revision}, {found.objects} objects compared", markup=False)
        for index in found.vector_indexes:
            out.print(f"not compared, it depends on the rows: vector index {index}", markup=False)
    if found.differences:
        raise typer.Exit(1)


def adopt(
    at: Annotated[str, typer.Option("--at", help="The revision whose schema the database has, or head.")],
    as_json: JsonOption = False,
) -> None:
    """Take over a schema that was made by hand or by SQL. Stamped when it is equal, else exits 1 and shows why not."""

    async def run() -> SchemaCheck:
        async with database() as (engine, settings):
            return await migrations.adopt(engine, at, settings=settings)

    try:
        found = asyncio.run(run())
    except SchemaDriftError as error:
        if as_json:
            print_json({"differences": error.differences})
        else:
            _print_differences(error.differences)
        raise
    if as_json:
        print_json(found)
    else:
        out.print(f"the database is at {found.revision}, {found.objects} objects compared", markup=False)


def _print_differences(differences: tuple[Difference, ...]) -> None:
    for each in differences:
        out.print(f"{each.object}: {each.problem}", markup=False)
        for change in each.changes:
            for line in _change_lines(change.attribute, change.found, change.needed):
                out.print(f"    {line}", markup=False)
        for statement in each.remedy:
            end = "" if statement.startswith("--") else ";"
            out.print("\n".join(f"  > {line}" for line in f"{statement}{end}".splitlines()), markup=False)


def _change_lines(attribute: str, found: object, needed: object) -> list[str]:
    if isinstance(found, str) and isinstance(needed, str) and "\n" in found + needed:
        lines = difflib.unified_diff(needed.splitlines(), found.splitlines(), "needed", "found", lineterm="", n=1)
        return [f"{attribute}:", *lines]
    return [f"{attribute}: found {_shown(found)}, needed {_shown(needed)}"]


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
