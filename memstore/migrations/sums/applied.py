"""What a database says that it has applied, and what was accepted in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from ...errors import PermissionDeniedError
from ...models import SCHEMA
from ...models.vocabulary import MigrationDirection, RevisionProblem
from ..operations.archive_sql import ARCHIVE_SCHEMA
from ..status import current_revision
from .findings import Acceptance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from .findings import Key

_ARCHIVED = "memstore.migration_repairs"  # the name of what a downgrade archives of it
_FACTS = text(f"""
    SELECT current_database() AS database, to_regclass('{SCHEMA}.migration_ledger')::oid AS ledger,
           to_regclass('{SCHEMA}.migration_repairs')::oid AS repairs,
           (SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
            WHERE nspname = '{ARCHIVE_SCHEMA}' AND relname = '{_ARCHIVED}') AS archive
""")
_RIGHT = text("""
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS granted,
           format('%I.%I', nspname, relname) AS name, session_user AS role
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = :oid
""")


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied in a database.

    revision: where it is, None where memstore is not installed there.
    checksums: by revision, that of the file that the last upgrade to it ran, where none has taken it down since.
    repairs: what was accepted.
    can_accept: whether there is a table to accept more in.
    """

    database: str
    revision: str | None
    checksums: Mapping[str, str | None]
    repairs: Mapping[Key, Acceptance]
    can_accept: bool


def read_applied(connection: Connection) -> Applied:
    """Read what a database has applied. Stamps say nothing about content, and are not looked at.

    Raises:
        PermissionDeniedError: the role may not read the ledger or the repairs.
    """
    facts = connection.execute(_FACTS).one()
    revision = current_revision(connection)
    # At no revision, tables of these names are somebody else's.
    ledger, table = (None, None) if revision is None else (facts.ledger, facts.repairs)
    # Below the revision that makes the table, what was accepted is in the archive: else nobody could come up again.
    source = facts.archive if table is None else table
    checksums = {} if ledger is None else _checksums(connection, ledger)
    repairs = {} if source is None else _repairs(connection, source)
    return Applied(facts.database, revision, checksums, repairs, can_accept=table is not None)


def _checksums(connection: Connection, ledger: int) -> dict[str, str | None]:
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (revision) revision, direction, checksum "
            f"FROM {_readable(connection, ledger)} WHERE direction <> 'stamp' ORDER BY revision, id DESC"
        )
    )
    return {row.revision: row.checksum for row in rows if row.direction == MigrationDirection.UPGRADE}


def _repairs(connection: Connection, table: int) -> dict[Key, Acceptance]:
    rows = connection.execute(
        text(
            "SELECT problem, revision, checksum, repaired_by, repaired_at, reason "
            f"FROM {_readable(connection, table)} ORDER BY id"
        )
    )
    return {
        (RevisionProblem(row.problem), row.revision, row.checksum): Acceptance(
            row.repaired_by, row.repaired_at, row.reason
        )
        for row in rows
    }


def _readable(connection: Connection, table: int) -> str:
    right = connection.execute(_RIGHT, {"oid": table}).one()
    if not right.granted:
        raise PermissionDeniedError(
            f"role {right.role!r} may not read {right.name}, which says what was applied or accepted here. "
            "Connect as the owner of the tables"
        )
    return str(right.name)
