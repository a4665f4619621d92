"""`memstore tenant` and `memstore user`: whose memories there are."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated
from uuid import UUID

import typer

from ..migrations import verify_schema
from ..store import NewTenant, NewUser, as_sql, create_tenant, create_user
from .common import JsonOption, database, out, print_json

tenants = typer.Typer(no_args_is_help=True, add_completion=False)
users = typer.Typer(no_args_is_help=True, add_completion=False)

SqlOption = Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")]


@tenants.callback()
@users.callback()
def _group() -> None: ...


@tenants.command("create")
def create_tenant_command(
    name: Annotated[str, typer.Argument(help="The name of the organisation.")],
    as_json: JsonOption = False,
    sql: SqlOption = False,
) -> None:
    """Create an enterprise tenant and print its id."""
    tenant = NewTenant(name)
    if sql:
        sys.stdout.write(as_sql(tenant.statements()) + "\n")
        return

    async def run() -> UUID:
        async with database() as (engine, _):
            await verify_schema(engine)
            return await create_tenant(engine, tenant)

    _print_ids({"tenant_id": asyncio.run(run())}, as_json)


@users.command("create")
def create_user_command(
    email: Annotated[str, typer.Option("--email", help="Their address; no two users have the same.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call them.")] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="The enterprise tenant they belong to, by name; made when there is none."),
    ] = None,
    as_json: JsonOption = False,
    sql: SqlOption = False,
) -> None:
    """Create a user, in a tenant of their own or in an enterprise tenant, and print the ids of both."""
    user = NewUser(email, name=name, tenant=tenant)
    if sql:
        sys.stdout.write(as_sql(user.statements()) + "\n")
        return

    async def run() -> tuple[UUID, UUID]:
        async with database() as (engine, _):
            await verify_schema(engine)
            return await create_user(engine, user)

    user_id, tenant_id = asyncio.run(run())
    _print_ids({"user_id": user_id, "tenant_id": tenant_id}, as_json)


def _print_ids(ids: dict[str, UUID], as_json: bool) -> None:
    if as_json:
        print_json(ids)
        return
    for name, id_ in ids.items():
        out.print(f"{name:9}  {id_}")
