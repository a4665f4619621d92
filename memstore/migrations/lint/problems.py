"""Making problems of changes: what several rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .finding import Problem

if TYPE_CHECKING:
    from .changes import Change
    from .placed import Placed


def problem(code: str, change: Change, message: str, fix: str) -> Problem:
    """Return a problem that stands where a change does."""
    return Problem(code, change.line, message, fix, change.end, change.first, change.around)


def known(placed: Placed) -> bool:
    """Tell whether a change is known to be on a table that others may be using: it has a name, and is not new."""
    return placed.change.table is not None and not placed.table_is_new


def shown(name: str | None) -> str:
    """Return a name as Python takes it, without its schema; `...` for one that cannot be told."""
    return "..." if not name else f'"{name.rpartition(".")[2]}"'
