"""The word that a host's run of Alembic must be given before it may take memstore down: `-x memstore=downgrade`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MigrationError

if TYPE_CHECKING:
    from alembic.runtime.environment import EnvironmentContext

CONSENT = "-x memstore=downgrade"


def has_consent(environment: EnvironmentContext | None) -> bool:
    """Tell whether Alembic was called with it.

    Raises:
        MigrationError: it was called with another word, which might have meant the same.
    """
    if environment is None:
        return False
    said = environment.get_x_argument(as_dictionary=True).get("memstore")
    if said not in (None, "downgrade"):
        raise MigrationError(f"-x memstore={said} is not known. Needed: {CONSENT}, or nothing")
    return said is not None
