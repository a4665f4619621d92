"""`memstore db verify` and `memstore db repair`: whether released revisions are what they were."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Annotated

import typer

from .. import migrations
from ..migrations import Finding, Verification
from ..settings import Settings
from .common import JsonOption, database, out, print_json


def verify(as_json: JsonOption = False) -> None:
    """Compare the revisions with what was released and with what the database has applied. Exits 1 on a finding.

    Without DATABASE_URL the files alone are verified. Only reads.
    """

    async def run() -> Verification:
        if Settings.from_env().database_url is None:
            return await migrations.verify()
        async with database() as (engine, _):
            return await migrations.verify(engine)

    found = asyncio.run(run())
    if as_json:
        print_json(found)
    else:
        _print_findings(found.findings)
        if found.database is None:
            where = "no database was asked: DATABASE_URL is not set"
        else:
            where = f"{found.applied} applied in {found.database}"
        out.print(f"{found.revisions} revision{'' if found.revisions == 1 else 's'} verified, {where}", markup=False)
    if found.refused:
        raise typer.Exit(1)


def repair(
    reason: Annotated[str, typer.Option("--reason", help="Why what was found is right. It is kept in the database.")],
    as_json: JsonOption = False,
) -> None:
    """Accept what `verify` finds, as it is now, in this database, with who, when and why. The only way past it.

    What no run could begin with, such as a file that is missing within the chain, has to be put right instead.
    """

    async def run() -> tuple[Finding, ...]:
        async with database() as (engine, settings):
            return await migrations.repair(engine, reason, settings=settings)

    accepted = asyncio.run(run())
    if as_json:
        print_json(accepted)
        return
    for each in accepted:
        out.print(f"accepted  {each}", markup=False)
    if not accepted:
        out.print("nothing to repair")


def _print_findings(findings: tuple[Finding, ...]) -> None:
    for each in findings:
        out.print(f"{each.revision}: {each.problem}", markup=False)
        out.print(f"    {each.object}", markup=False)
        out.print(f"    found {each.found}", markup=False)
        out.print(f"    needed {each.needed}", markup=False)
        if each.accepted is None:
            out.print(f"  > {each.remedy}", markup=False)
        else:
            when = each.accepted.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
            out.print(f"    accepted by {each.accepted.by} at {when} UTC: {each.accepted.reason}", markup=False)
