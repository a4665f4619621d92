"""What sa.Column and the types in it are, as far as a revision's source tells."""

from __future__ import annotations

from typing import Any

from .changes import Column, ColumnType
from .values import FUNCTION, HOLE, Construct, Reference, sql_text

_TYPE_NAMES = {"string": "varchar", "unicode": "varchar", "unicodetext": "text", "halfvector": "halfvec"}


def column_of(value: Construct) -> Column:
    """Return what sa.Column makes."""
    name, *rest = value.args if value.args and isinstance(value.args[0], str) else ("", *value.args)
    kwargs = value.kwargs
    inside = {each.name: each for each in (*rest, kwargs.get("server_default")) if isinstance(each, Construct)}
    kind = kwargs.get("type_", rest[0] if rest else None)
    return Column(
        name if HOLE not in name else "",
        type_of(kind),
        not_null=kwargs.get("nullable") is False,
        default=_default_of(kwargs.get("server_default")),
        generated="Computed" in inside and inside["Computed"].kwargs.get("persisted") is not False,
        identity="Identity" in inside or "Sequence" in inside,
        unique=kwargs.get("unique") is True,
        index=kwargs.get("index") is True,
        foreign_key="ForeignKey" in inside,
    )


def _default_of(value: Any) -> str | None:
    match value:
        case None:
            return None
        case str():
            return "''"  # a text, whatever it is: the same for each row
        case Construct(name="text" | "Computed" | "Identity"):
            return sql_text(value) if value.name == "text" else None
        case Construct(name=name) if name.startswith(FUNCTION):
            return f"{name.removeprefix(FUNCTION)}()"
    return "?"


def type_of(value: Any) -> ColumnType | None:
    """Return the type that is meant, None where it cannot be told."""
    numbers: tuple[int, ...] = ()
    if isinstance(value, Reference):
        name = value.last.lower()
    elif isinstance(value, Construct):
        given = (*value.args, *(value.kwargs.get(each) for each in ("dim", "length", "precision", "scale")))
        name, numbers = value.name.lower(), tuple(each for each in given if type(each) is int)
    else:
        return None
    return ColumnType(_TYPE_NAMES.get(name, name), numbers)
