"""The command line, put together from its groups."""

from __future__ import annotations

from typing import Annotated

import typer

from ..version import __version__
from .lazy import lazy

# Pretty tracebacks show local variables, a password among them.
app = typer.Typer(name="memstore", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(lazy("db:app", "Migrate a database, and see where it stands."), name="db")
app.add_typer(lazy("identity:tenants", "Organisations."), name="tenant")
app.add_typer(lazy("identity:users", "People."), name="user")
app.add_typer(lazy("importing:app", "Bring memories in from where they live today."), name="import")
app.add_typer(lazy("indexes:app", "Build the vector indexes that are right, and see how they do."), name="index")
app.add_typer(lazy("milvus_backup:app", "Mirror memories in Milvus, and look after its collections."), name="milvus")
app.add_typer(lazy("retention:app", "End what is over, and purge what is old."), name="retention")
app.add_typer(
    lazy("search:app", "Find the memories nearest to a vector or to another memory, best first."), name="search"
)


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
