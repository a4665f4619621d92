"""A step that commits on its way and was killed: the next run brings it to its end, whichever way that run goes.

A revision of safe operations is stamped at its end. Killed on the way down it still counts as there, killed on the way
up as not there, while it is something of both. So a note is kept in the database as long as such a step is under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.runtime.migration import MigrationStep, RevisionStep
from sqlalchemy import text

from ..models import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext
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
    """Strike the note out, in the transaction that stamps the step."""
    if connection is not None and _has_settings(connection):
        connection.execute(_FORGET)


def with_end_of(
    unfinished: Unfinished | None, steps: Sequence[MigrationStep], context: MigrationContext
) -> list[MigrationStep]:
    """Return the steps of a run, where need be after those that bring an unfinished one to its end, and back.

    In the direction that it had, the run begins with it anyway. In the other one it is ended first, and then undone.
    """
    environment = context.environment_context
    if unfinished is None or environment is None or any(not isinstance(each, RevisionStep) for each in steps):
        return list(steps)
    first = steps[0] if steps else None
    if isinstance(first, RevisionStep) and Unfinished(first.revision.revision, first.is_upgrade) == unfinished:
        return list(steps)
    script = environment.script.get_revision(unfinished.revision)
    if script is None:
        return list(steps)
    up, down = (
        make(environment.script.revision_map, script)
        for make in (MigrationStep.upgrade_from_script, MigrationStep.downgrade_from_script)
    )
    return [*((up, down) if unfinished.upward else (down, up)), *steps]


def _has_settings(connection: Connection) -> bool:
    return connection.scalar(text(f"SELECT to_regclass('{SCHEMA}.settings')")) is not None
