"""Row level security, declared beside the table it guards. Any project's tables can declare it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Table

INFO_KEY = "row_level_security"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, as CREATE POLICY takes it: `using` and `check` are SQL, `command` is ALL or one statement's name."""

    name: str
    using: str | None = None
    check: str | None = None
    command: str = "ALL"
    roles: tuple[str, ...] = ("public",)
    permissive: bool = True


@dataclass(frozen=True, slots=True)
class RowLevelSecurity:
    """What guards the rows of a table: `Table("t", metadata, ..., info=row_level_security(Policy(...)))`.

    enabled: False turns it off; a table that declares nothing at all is not looked at.
    forced: it holds for the table's owner too.
    """

    policies: tuple[Policy, ...] = ()
    enabled: bool = True
    forced: bool = False


def row_level_security(*policies: Policy, enabled: bool = True, forced: bool = False) -> dict[str, RowLevelSecurity]:
    """Return the entry for `Table.info` that declares row level security with these policies and no others."""
    return {INFO_KEY: RowLevelSecurity(policies, enabled, forced)}


def declared_row_level_security(table: Table) -> RowLevelSecurity | None:
    """Return what a table declares, None where it says nothing.

    Raises:
        TypeError: its info has something else under that key.
    """
    declared = table.info.get(INFO_KEY)
    if declared is not None and not isinstance(declared, RowLevelSecurity):
        raise TypeError(
            f"table {table.fullname!r} has info[{INFO_KEY!r}] of type {type(declared).__name__}, a RowLevelSecurity is "
            f"needed. Write: info=row_level_security(Policy(...))"
        )
    return declared
