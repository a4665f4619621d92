"""What autogenerate writes on a table in use: a safe operation, and the one that undoes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import renderers
from alembic.operations import MigrateOperation, ops

from .internals import prefixes
from .sql import Key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.autogenerate.api import AutogenContext


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an operation. Options that are None or False are not written.

    note: the lines of a comment before it.
    statements: what is to be run once nothing comes that commits, such as COMMENT ON.
    """

    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    note: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


class Calls(MigrateOperation):
    """A call, and the one that undoes it."""

    def __init__(self, up: Call, down: Call) -> None:
        self.up = up
        self.down = down

    def reverse(self) -> Calls:
        return Calls(self.down, self.up)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (self.up.name, *self.up.arguments)


class PartOfComparison(ops.UpgradeOps):
    """The operations of one revision of several: what the comparison found is known to each.

    `alembic check` looks at the last revision alone.
    """

    def __init__(self, operations: Sequence[MigrateOperation], whole: ops.UpgradeOps) -> None:
        super().__init__(operations, whole.upgrade_token)
        self._diffs = whole.as_diffs()

    def as_diffs(self) -> list[Any]:
        return list(self._diffs)


def register() -> None:
    """Tell Alembic how the calls are written into a revision. Done once."""
    renderers.dispatch_for(Calls)(_render)


def _render(context: AutogenContext, operation: Calls) -> list[str]:
    call, (op, _) = operation.up, prefixes(context)
    arguments = [_source(context, each) for each in call.arguments]
    arguments += [
        f"{name}={_source(context, value)}" for name, value in call.options.items() if value not in (None, False)
    ]
    return [*(f"# {line}" for line in call.note), f"{op}{call.name}({', '.join(arguments)})"]


def _source(context: AutogenContext, value: object) -> str:
    _, sa = prefixes(context)
    if isinstance(value, list):
        return f"[{', '.join(_source(context, each) for each in value)}]"
    if isinstance(value, Key):
        return f"{sa}literal_column({value.sql!r})"
    return repr(str(value)) if isinstance(value, str) else repr(value)
