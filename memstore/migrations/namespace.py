"""The PostgreSQL schema that everything is in: made before the first revision, gone after the last went down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ..models import SCHEMA
from .status import current_revision

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION_TABLE = "alembic_version"

# Older versions of Alembic have dropped the version table when this comes, newer ones keep it.
DROP_AT_BASE = (
    "SET client_min_messages = warning",
    f"DROP TABLE IF EXISTS {SCHEMA}.{VERSION_TABLE}",
    "RESET client_min_messages",
    f"DROP SCHEMA {SCHEMA}",
)

_IS_OURS_AND_EMPTY = text(f"""
    SELECT true FROM pg_namespace AS n
    WHERE n.nspname = '{SCHEMA}' AND pg_has_role(n.nspowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = n.oid)
""")


def create_schema(connection: Connection) -> None:
    """Make room for the version table. `IF NOT EXISTS` alone would ask for a right that is not needed where it is."""
    if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}) is None:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))


def has_version_table(connection: Connection) -> bool:
    """Tell whether memstore's own version table is there, whatever it says."""
    name = {"name": f"{SCHEMA}.{VERSION_TABLE}"}
    return connection.scalar(text("SELECT to_regclass(:name)"), name) is not None


def drop_schema_at_base(connection: Connection) -> None:
    """Leave nothing behind at base: the version table goes, and the schema unless somebody else uses it."""
    if current_revision(connection) is not None:
        return
    connection.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.{VERSION_TABLE}"))
    if connection.scalar(_IS_OURS_AND_EMPTY):
        connection.execute(text(f"DROP SCHEMA {SCHEMA}"))
