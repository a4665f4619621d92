"""What a server must offer, checked before anything is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ..errors import RequirementError

if TYPE_CHECKING:
    from sqlalchemy import Connection

SERVER_VERSION_NUM = 150_000
VECTOR_VERSION = (0, 8)

_FACTS = text("""
    SELECT current_setting('server_version_num')::int AS server_num,
           current_setting('server_version') AS server,
           (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS installed,
           (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
           (SELECT rolsuper OR coalesce((SELECT bool_or(trusted) FROM pg_available_extension_versions
                                         WHERE name = 'vector'), false)
                               AND has_database_privilege(current_database(), 'CREATE')
            FROM pg_roles WHERE rolname = current_user) AS may_create
""")


def check_requirements(connection: Connection) -> None:
    """Check that the server is PostgreSQL 15 or newer and has pgvector 0.8 or newer. Reads only.

    Raises:
        RequirementError: it is not, or has not; the message says what was found and what to install.
    """
    facts = connection.execute(_FACTS).one()
    major = facts.server_num // 10_000
    if facts.server_num < SERVER_VERSION_NUM:
        raise RequirementError(
            f"the server is PostgreSQL {facts.server}, memstore needs {SERVER_VERSION_NUM // 10_000} or newer"
        )
    needed = ".".join(map(str, VECTOR_VERSION))
    version = facts.installed or facts.available
    if version is None:
        raise RequirementError(
            f"the extension 'vector' is not available on this server, memstore needs pgvector {needed} or newer. "
            f"Install it there, for example: apt install postgresql-{major}-pgvector"
        )
    if facts.installed is None and not facts.may_create:
        raise RequirementError(
            "the extension 'vector' is not in this database, and this role may not create it. "
            "Run as a superuser: CREATE EXTENSION vector"
        )
    if parse_version(version) < VECTOR_VERSION:
        upgrade = (
            "Run: ALTER EXTENSION vector UPDATE"
            if facts.installed and facts.available and parse_version(facts.available) >= VECTOR_VERSION
            else f"Install a newer one on the server, for example: apt install postgresql-{major}-pgvector"
        )
        raise RequirementError(f"pgvector is {version}, memstore needs {needed} or newer. {upgrade}")


def parse_version(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to be compared with those of another."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
