"""The command line, put together from its groups."""

from __future__ import annotations

from typing import Annotated

import typer

from ..version import __version__
from . import db, identity, importing, retention, search

# Pretty tracebacks show local variables, a password among them.
app = typer.Typer(name="memstore", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(db.app, name="db")
app.add_typer(identity.tenants, name="tenant")
app.add_typer(identity.users, name="user")
app.add_typer(importing.app, name="import")
app.add_typer(retention.app, name="retention")
app.command()(search.search)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def memstore(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Work with the memory of AI agents on PostgreSQL. The database is the one that DATABASE_URL names."""
