"""The migration ledger: what was done to this database, by whom, when, with which file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.script import Script
from sqlalchemy import insert, literal_column, select, text

from ..models.installation import LedgerEntry
from ..models.vocabulary import MigrationDirection
from ..version import __version__
from .scripts import checksum

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import ColumnClause, Connection

    from .operations.archive import MovedRows


@dataclass(frozen=True, slots=True)
class Step:
    """One step that a run took: `duration_ms` is None where it was only rendered as SQL.

    moved: the rows that it archived or restored.
    """

    revision: str
    direction: MigrationDirection
    duration_ms: int | None
    moved: tuple[MovedRows, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedStep:
    """One row of the ledger."""

    revision: str
    direction: MigrationDirection
    checksum: str | None
    package_version: str
    applied_by: str
    applied_at: datetime
    duration_ms: int


def record(context: MigrationContext, info: MigrationInfo, heads: Collection[str], duration_ms: int | None) -> Step:
    """Write a step to the ledger, in the step's own transaction, and return it.

    The step that drops the ledger leaves no row; rendered as SQL, the server measures the duration.
    """
    if info.is_stamp:
        direction, revision, script = MigrationDirection.STAMP, ",".join(sorted(heads)) or "base", None
    else:
        direction = MigrationDirection.UPGRADE if info.is_upgrade else MigrationDirection.DOWNGRADE
        script = info.up_revision
        revision = str(info.up_revision_id)
    if heads and (context.as_sql or _has_ledger(context.connection)):
        elapsed: ColumnClause[int] = literal_column(
            "(extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000)::int"
        )
        context.impl.execute(
            insert(LedgerEntry)
            .inline()  # nothing needs the new id, and rendered as SQL it would be printed
            .values(
                revision=revision,
                direction=direction,
                checksum=checksum(script) if isinstance(script, Script) else None,
                package_version=__version__,
                duration_ms=elapsed if duration_ms is None else duration_ms,
            )
        )
    return Step(revision, direction, duration_ms)


def read(connection: Connection) -> tuple[AppliedStep, ...]:
    """Return the whole ledger, oldest first; empty where there is none yet, or for a role that may not read it."""
    if not _has_ledger(connection) or not connection.scalar(text(_MAY_READ)):
        return ()
    rows = connection.execute(
        select(
            LedgerEntry.revision,
            LedgerEntry.direction,
            LedgerEntry.checksum,
            LedgerEntry.package_version,
            LedgerEntry.applied_by,
            LedgerEntry.applied_at,
            LedgerEntry.duration_ms,
        ).order_by(LedgerEntry.id)
    )
    return tuple(AppliedStep(*row) for row in rows)


_MAY_READ = "SELECT has_table_privilege('memstore.migration_ledger', 'SELECT')"


def _has_ledger(connection: Connection | None) -> bool:
    if connection is None:
        return False
    return connection.scalar(text("SELECT to_regclass('memstore.migration_ledger')")) is not None
