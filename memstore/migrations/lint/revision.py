"""A revision as its file tells it, which is read and never run."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .calls import changes_by
from .changes import Change, ColumnType, Kind
from .placed import Order, Placed
from .silences import Silence, silences
from .walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTIONS = ("upgrade", "downgrade")


class Revision:
    """The file of a revision.

    Raises:
        SyntaxError, UnicodeDecodeError, OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self.module = ast.parse(self.source)
        self._walk = Walk(self.module)

    def constant(self, name: str) -> Any:
        """Return what a constant of the module is; None where it has none of that name."""
        return self._walk.names.get(name)

    def line_of(self, name: str) -> int:
        """Return the line that a function or constant of the module begins on; 1 where it has none of that name."""
        for node in self.module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                return node.lineno
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(each, ast.Name) and each.id == name for each in targets):
                return node.lineno
        return 1

    @property
    def id(self) -> str | None:
        """The id of the revision, where the file has one."""
        found = self.constant("revision")
        return found if isinstance(found, str) else None

    @property
    def refuses_downgrade(self) -> bool:
        """Whether it goes one way only, be it by its level or because downgrade() does nothing but raise."""
        down = self.functions.get("downgrade")
        body = [] if down is None else [each for each in down.body if not _is_docstring(each)]
        return self.constant("level") == "irreversible" or bool(body and isinstance(body[0], ast.Raise))

    @property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """The functions of the module."""
        return self._walk.functions

    @cached_property
    def changes(self) -> dict[str, tuple[Change, ...]]:
        """What it does, in order, by direction."""
        return {
            each: tuple(change for call in self._walk.calls(each) for change in changes_by(call)) for each in DIRECTIONS
        }

    def placed(self, *kinds: Kind) -> Iterator[Placed]:
        """Yield the changes of some kinds, each with what is around it."""
        for direction in DIRECTIONS:
            yield from self.order(direction).of(*kinds)

    def order(self, direction: str) -> Order:
        """Return what it does in a direction, in order."""
        return self._orders[direction]

    @cached_property
    def _orders(self) -> dict[str, Order]:
        return {direction: Order(direction, listed) for direction, listed in self.changes.items()}

    @cached_property
    def silences(self) -> list[Silence]:
        """What its comments silence."""
        return silences(self.source, self.module)

    def table_of_index(self, change: Change) -> str | None:
        """Return the table of an index that is dropped: the call says, or where the revision makes the index."""
        if change.table is not None:
            return change.table
        return self._tables_of_indexes.get((change.name or "").rpartition(".")[2])

    @cached_property
    def _tables_of_indexes(self) -> dict[str | None, str | None]:
        found: dict[str | None, str | None] = {}
        for placed in self.placed(Kind.CREATE_INDEX):
            found.setdefault(placed.change.name, placed.change.table)
        return found

    @cached_property
    def types(self) -> dict[tuple[str, str], ColumnType]:
        """The types of the columns that it declares, by table and column."""
        found: dict[tuple[str, str], ColumnType] = {}
        for placed in self.placed(Kind.CREATE_TABLE, Kind.ADD_COLUMN):
            for column in placed.change.columns:
                if placed.change.table is not None and column.type is not None:
                    found.setdefault((placed.change.table, column.name), column.type)
        return found

    @cached_property
    def computed(self) -> frozenset[tuple[str | None, str | None]]:
        """The columns of stored expressions that it adds, by table and column."""
        added = (each.change for each in self.placed(Kind.ADD_COLUMN))
        return frozenset((each.table, each.name) for each in added if each.columns[0].generated)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
