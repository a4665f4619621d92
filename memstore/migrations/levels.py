"""How honestly a revision goes back: what its downgrade undoes, what it keeps aside, and what it cannot do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from alembic.runtime.migration import RevisionStep

from ..errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.runtime.migration import MigrationStep
    from alembic.script import Script


class Level(StrEnum):
    """What a revision says of its downgrade, in the line `level = ...`.

    reversible: it undoes the upgrade, and no rows go with it that anybody would miss.
    reversible_with_archive: rows that go are kept in the schema memstore_archive, and the next upgrade restores them.
    irreversible: there is no way back; `irreversible_because` says why.
    """

    REVERSIBLE = "reversible"
    REVERSIBLE_WITH_ARCHIVE = "reversible_with_archive"
    IRREVERSIBLE = "irreversible"


def level_of(script: Script) -> Level:
    """Return the level of a revision; one that names none is reversible, as Alembic takes it.

    Raises:
        MigrationError: it names an unknown one, or is irreversible without a reason.
    """
    said = getattr(script.module, "level", Level.REVERSIBLE)
    if said not in list(Level):
        raise MigrationError(
            f"{script.path}: level is {said!r}. Needed: {', '.join(repr(each.value) for each in Level)}"
        )
    level = Level(said)
    if level is Level.IRREVERSIBLE and not _reason(script):
        raise MigrationError(
            f"{script.path}: it is irreversible and does not say why. Add: irreversible_because = '...'"
        )
    return level


def check_way_back(scripts: Iterable[Script]) -> None:
    """Look at all revisions of a downgrade before the first of them runs.

    Raises:
        MigrationError: one of them is irreversible, or names an unknown level.
    """
    stops = [script for script in scripts if level_of(script) is Level.IRREVERSIBLE]
    if stops:
        names = "; ".join(f"{script.revision} is irreversible: {_reason(script)}" for script in stops)
        raise MigrationError(
            f"{names}. Nothing was done. The way down ends at {stops[0].revision}; "
            "what was before it is in a backup of the database"
        )


def check_steps(steps: Iterable[MigrationStep]) -> None:
    """Do the same for the steps of a run, of which some may go up."""
    check_way_back(step.revision for step in steps if isinstance(step, RevisionStep) and step.is_downgrade)


def _reason(script: Script) -> str:
    return str(getattr(script.module, "irreversible_because", "")).strip()
