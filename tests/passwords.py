"""A database that asks one role for its password, on a server that otherwise trusts everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tests.support import Server, raw_dsn


@contextmanager
def password_asked(server: Server, *, database: str, role: str, password: str) -> Iterator[None]:
    """Create a role that gets into the database with this password only; drop it in the end."""
    literal = password.replace("'", "''")
    server.execute(f"CREATE ROLE {role} LOGIN", f"ALTER ROLE {role} PASSWORD '{literal}'")
    rules = server.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    try:
        rules.write_text(f"local {database} {role} scram-sha-256\n{before}")
        _reload(server)
        yield
    finally:
        rules.write_text(before)
        _reload(server)
        server.execute(f"DROP ROLE {role}")


def _reload(server: Server) -> None:
    """Make the server read its pg_hba.conf, and wait until new connections are judged by it."""
    before = asyncio.run(_loaded_at(server))
    server.execute("SELECT pg_reload_conf()")
    for _ in range(1_000):
        if asyncio.run(_loaded_at(server)) != before:
            return
    raise RuntimeError("the server has not read its configuration again")


async def _loaded_at(server: Server) -> object:
    connection = await asyncpg.connect(raw_dsn(server.url))
    try:
        return await connection.fetchval("SELECT pg_conf_load_time()")
    finally:
        await connection.close()
