"""A note in the database that a step is under way whose operations commit: what is left of it where it was killed.

A revision of safe operations is stamped at its end. Killed on the way down it still counts as there, killed on the way
up as not there, while it is something of both. The next run goes on with it, or takes it back: see `take_back`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from ..models import SCHEMA

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep
    from sqlalchemy import Connection

KEY = "step_under_way"

_NOTE = text(f"""
    INSERT INTO {SCHEMA}.settings (key, value)
    VALUES ('{KEY}', jsonb_build_object('revision', CAST(:revision AS text), 'upward', CAST(:upward AS boolean)))
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
""")
_READ = text(f"SELECT value ->> 'revision', (value ->> 'upward')::boolean FROM {SCHEMA}.settings WHERE key = '{KEY}'")
_FORGET = text(f"DELETE FROM {SCHEMA}.settings WHERE key = '{KEY}'")


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A step that a run began and did not end: its revision, and whether it went up."""

    revision: str
    upward: bool


def note(connection: Connection, step: RevisionStep) -> None:
    """Write down that a step is under way, before the first of its operations commits."""
    if _has_settings(connection):
        connection.execute(_NOTE, {"revision": step.revision.revision, "upward": step.is_upgrade})


def read(connection: Connection | None) -> Unfinished | None:
    """Return the step that was begun and did not end, None where there is none."""
    if connection is None or not _has_settings(connection):
        return None
    row = connection.execute(_READ).first()
    return None if row is None else Unfinished(*row)


def forget(connection: Connection | None) -> None:
    """Strike the note out, in the transaction that stamps the step, or ends what takes it back."""
    if connection is not None and _has_settings(connection):
        connection.execute(_FORGET)


def _has_settings(connection: Connection) -> bool:
    return connection.scalar(text(f"SELECT to_regclass('{SCHEMA}.settings')")) is not None
