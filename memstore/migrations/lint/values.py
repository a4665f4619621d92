"""What an expression of a revision is known to be, without running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

# Stands in a text for a part that cannot be told, such as the width in f"vector({op.embedding_dim()})".
HOLE: Final = "\ue000"
# Begins the name of a construct that is a call in SQL, such as that of sa.func.now().
FUNCTION: Final = "func."


class Unknown:
    """What cannot be told without running the revision."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Reference:
    """Something imported, by its full name, such as `sqlalchemy.Column`; or a method of a value, `owner`."""

    path: str
    owner: Any = None

    @property
    def last(self) -> str:
        """The last part of the name."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Construct:
    """What a call of something imported made, such as a Column or a type."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """What `op.batch_alter_table` gives: operations on one table."""

    table: Any
    schema: Any


def known_text(value: object) -> str | None:
    """Return a text that is known in full, that of `sa.text` and of a quoted name included; else None."""
    if isinstance(value, Construct) and value.name in ("text", "quoted_name", "DDL") and value.args:
        value = value.args[0]
    return value if isinstance(value, str) and HOLE not in value else None


def sql_text(value: object) -> str | None:
    """Return the SQL that a value holds, with a hole for each part that cannot be told; None where nothing can."""
    if isinstance(value, Construct) and value.name in ("text", "DDL") and value.args:
        value = value.args[0]
    return value if isinstance(value, str) else None
