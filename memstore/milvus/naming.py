"""What collections are called."""

from __future__ import annotations

import re

from ..errors import SettingsError

ALIAS = "memories_unified"
"""What readers ask for, whatever version it leads to."""
_SEPARATOR = "__"
_FITS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


def physical_name(revision: str, alias: str = ALIAS) -> str:
    """Return the name of the collection of a revision: `memories_unified__0001`."""
    return f"{alias}{_SEPARATOR}{revision.partition('_')[0]}"


def is_physical(name: str, alias: str = ALIAS) -> bool:
    """Return whether a collection is called as memstore would."""
    return name.startswith(f"{alias}{_SEPARATOR}")


def adopted_name(taken: list[str], alias: str = ALIAS) -> str:
    """Return what a collection that was found under the name of the alias is renamed to: one that nobody has."""
    number = 1
    while (name := f"{alias}_before_memstore_{number}") in taken:
        number += 1
    return name


def checked_name(name: str) -> str:
    """Return the name of a collection.

    Raises:
        SettingsError: a server would refuse it, though Milvus Lite takes it.
    """
    if _FITS.fullmatch(name) is None:
        raise SettingsError(
            f"the collection is called {name[:40]!r}. Needed: letters, digits and underscores, no digit first"
        )
    return name
