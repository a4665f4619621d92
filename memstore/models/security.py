"""Row level security, declared beside the table it guards. Any project's tables can declare it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Table

INFO_KEY = "row_level_security"

_COMMANDS = ("ALL", "SELECT", "INSERT", "UPDATE", "DELETE")
_WHOEVER_RUNS_IT = ("current_user", "current_role", "session_user")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, as CREATE POLICY takes it: `using` and `check` are SQL, `command` is ALL or one statement's name.

    Raises:
        ValueError: the server would refuse it, or keep another one than it says.
    """

    name: str
    using: str | None = None
    check: str | None = None
    command: str = "ALL"
    roles: tuple[str, ...] = ("public",)
    permissive: bool = True

    def __post_init__(self) -> None:
        said = f"policy {self.name!r}"
        command = self.command.upper()
        if command not in _COMMANDS:
            raise ValueError(f"{said} is for {self.command!r}, one of these is needed: {', '.join(_COMMANDS)}")
        if isinstance(self.roles, str) or not self.roles:
            raise ValueError(f"{said} has the roles {self.roles!r}, a tuple of names is needed: roles=('public',)")
        roles = tuple(dict.fromkeys("public" if each == "PUBLIC" else each for each in self.roles))
        others = ", ".join(each for each in roles if each != "public")
        if "public" in roles and others:
            raise ValueError(
                f"{said} is for public, which is everybody, and for {others}; the server keeps public alone. "
                f"Leave out public, or the others"
            )
        for role in roles:
            if role.lower() in _WHOEVER_RUNS_IT:
                raise ValueError(
                    f"{said} is for {role}: the server would keep the name of whoever runs the revision. Name the role"
                )
        object.__setattr__(self, "command", command)
        object.__setattr__(self, "roles", roles)


@dataclass(frozen=True, slots=True)
class RowLevelSecurity:
    """What guards the rows of a table: `Table("t", metadata, ..., info=row_level_security(Policy(...)))`.

    enabled: False turns it off; a table that declares nothing at all is not looked at.
    forced: it holds for the table's owner too.

    Raises:
        ValueError: two policies have one name.
    """

    policies: tuple[Policy, ...] = ()
    enabled: bool = True
    forced: bool = False

    def __post_init__(self) -> None:
        names = [policy.name for policy in self.policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"a table has one policy of a name, these are declared twice: {', '.join(twice)}. Rename one"
            )


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
