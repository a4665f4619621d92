"""The names that the server gives to CHECKs that have none: a downgrade has to know them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from .sql import names_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .checks import ModelCheck
    from .comparison import Comparison

_LONGEST = 63  # bytes of a name


@dataclass(frozen=True, slots=True)
class ServerNames:
    """The names of one table's CHECKs to come, each given once."""

    table: str
    columns: frozenset[str]
    taken: set[str]

    @classmethod
    def of(cls, table: Comparison, models: list[ModelCheck]) -> ServerNames:
        """Return the names for a table: free are those that neither its constraints nor the models have."""
        columns = {column.name for column in table.model.columns} if table.model is not None else set()
        named = {check.name for check in models if check.name is not None}
        return cls(table.name, frozenset(columns | table.found.columns.keys()), named | table.found.constraints.keys())

    def take(self, expression: str) -> str:
        """Return the name of a CHECK: with its column, where it uses one alone."""
        used = self.columns & names_in(expression)
        column = next(iter(used)) if len(used) == 1 else ""
        names = (_joined(self.table, column, f"check{number or ''}") for number in count())
        name = next(each for each in names if each not in self.taken)
        self.taken.add(name)
        return name


def constraint_name(table: str, columns: Sequence[str], label: str) -> str:
    """Return the name that the server gives to a constraint on columns: a safe operation needs one."""
    return _joined(table, "_".join(columns), label)


def _joined(table: str, column: str, label: str) -> str:
    """Join the parts as the server does: of the two names the longer one is cut until all fit."""
    room = _LONGEST - len(label) - 1 - bool(column)
    one, two = table.encode(), column.encode()
    while len(one) + len(two) > room:
        if len(one) > len(two):
            one = one[:-1]
        else:
            two = two[:-1]
    return "_".join(part for part in (one.decode(errors="ignore"), two.decode(errors="ignore"), label) if part)
