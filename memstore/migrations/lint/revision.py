"""A revision as its file tells it, which is read and never run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .calls import changes_by
from .changes import Change, Kind
from .silences import Silence, silences
from .walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTIONS = ("upgrade", "downgrade")


@dataclass(frozen=True, slots=True)
class Placed:
    """A change, and what came before and comes after it in its direction."""

    change: Change
    direction: str
    before: tuple[Change, ...]
    after: tuple[Change, ...]

    @property
    def table_is_new(self) -> bool:
        """Whether the table was made in the same direction before, so that nobody can wait for it."""
        return any(each.kind is Kind.CREATE_TABLE and each.table == self.change.table for each in self.before)


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
        for direction, listed in self.changes.items():
            for place, change in enumerate(listed):
                if change.kind in kinds:
                    yield Placed(change, direction, listed[:place], listed[place + 1 :])

    @cached_property
    def silences(self) -> list[Silence]:
        """What its comments silence."""
        return silences(self.source, self.module)

    def table_of_index(self, change: Change) -> str | None:
        """Return the table of an index that is dropped: the call says, or where the revision makes the index."""
        if change.table is not None:
            return change.table
        bare = (change.name or "").rpartition(".")[2]
        for listed in self.changes.values():
            for each in listed:
                if each.kind is Kind.CREATE_INDEX and each.name == bare:
                    return each.table
        return None


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
