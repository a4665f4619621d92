"""`memstore db lint`: what is dangerous in revisions, before anybody runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..migrations.lint import Finding, lint_revisions
from .common import JsonOption, out, print_json


def lint(
    revisions: Annotated[
        list[str] | None, typer.Argument(help="Ids, ranges A:B, files or folders. All revisions, when left out.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The alembic.ini of a project. memstore's own, when left out.")
    ] = None,
    no_sql: Annotated[
        bool, typer.Option("--no-sql", help="Do not render the SQL: needs neither env.py nor squawk.")
    ] = False,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="A code not to look for. As often as needed.")
    ] = None,
    distance: Annotated[
        str | None, typer.Option("--distance", help="How vectors are compared: cosine, l2, inner_product or l1.")
    ] = None,
    tests: Annotated[
        Path | None, typer.Option("--tests", help="The folder with a test_ID.py for each revision.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is dangerous in revisions, memstore's or any project's. Exits 1 on a finding. Needs no database."""
    found = lint_revisions(
        revisions or (), config=config, sql=not no_sql, ignore=ignore or (), distance=distance, tests=tests
    )
    if as_json:
        print_json(found)
    else:
        for each in found.findings:
            out.print(f"{each.path}:{each.line}: {each.code} {each.message}", markup=False)
            out.print(f"    {each.reason}\n    Type: {each.fix}", markup=False)
        out.print(_summary(found.findings, len(found.paths)), markup=False)
    if found.findings:
        raise typer.Exit(1)


def _summary(findings: Sequence[Finding], looked_at: int) -> str:
    files = f"{looked_at} revision{'' if looked_at == 1 else 's'}"
    if not findings:
        return f"no findings in {files}"
    number = len(findings)
    return f"{number} finding{'' if number == 1 else 's'} in {len({each.path for each in findings})} of {files}"
