"""Filters in Milvus' own language: every name from a whitelist, every value through one escaper.

Only what Milvus Lite and servers since 2.3 agree on is used. Milvus' own templates (`filter_params`) are not: neither
Milvus Lite nor servers before 2.5 have them. Ids are never given as `ids=`: pymilvus pastes them as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SettingsError
from .fields import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .fields import CollectionSpec

Value = str | int | bool
NOTHING = 'id == ""'
"""What no entity is."""

_NUMBERS = (Kind.INT8, Kind.INT32, Kind.INT64)
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES = str.maketrans(_ESCAPED)


def literal(value: Value) -> str:
    r"""Return a value as Milvus reads it.

    Not JSON: Milvus Lite does not know its escapes of control characters, and neither knows those of other characters.

    Raises:
        SettingsError: it cannot be written: a half of a surrogate pair, or another type.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise SettingsError(f"a filter of Milvus holds {type(value).__name__}. Needed: text, a whole number or a truth")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"a filter of Milvus holds {value[:40]!a}, which is not Unicode text") from error
    return f'"{value.translate(_ESCAPES)}"'


class Conditions:
    """Conditions on the fields of a collection, all of which must hold; `str()` is the filter."""

    def __init__(self, spec: CollectionSpec) -> None:
        self._spec = spec
        self._parts: list[str] = []

    def equals(self, name: str, value: Value) -> Conditions:
        """Ask that a field has a value."""
        return self._add(f"{self._known(name, value)} == {literal(value)}")

    def one_of(self, name: str, values: Collection[Value]) -> Conditions:
        """Ask that a field has one of these values; with none, nothing is meant."""
        for value in values:
            self._known(name, value)
        listed = ", ".join(map(literal, values))
        return self._add(f"{name} in [{listed}]" if values else NOTHING)

    def at_least(self, name: str, value: int) -> Conditions:
        """Ask that a number is no less."""
        return self._add(f"{self._known(name, value)} >= {literal(value)}")

    def at_most(self, name: str, value: int) -> Conditions:
        """Ask that a number is no more."""
        return self._add(f"{self._known(name, value)} <= {literal(value)}")

    def never_or_from(self, name: str, value: int) -> Conditions:
        """Ask that a moment is never (0), or not before another."""
        known = self._known(name, value)
        return self._add(f"({known} == 0 or {known} >= {literal(value)})")

    def __str__(self) -> str:
        return " and ".join(self._parts)

    def _add(self, part: str) -> Conditions:
        self._parts.append(part)
        return self

    def _known(self, name: str, value: Value) -> str:
        # To Milvus a name that nobody has, or a value of another type, is no error: it finds nothing.
        kind = self._spec.field(name).kind
        fits = {Kind.VARCHAR: isinstance(value, str), Kind.BOOL: isinstance(value, bool)}.get(
            kind, kind in _NUMBERS and isinstance(value, int) and not isinstance(value, bool)
        )
        if not fits:
            raise SettingsError(f"the field {name} of Milvus, a {kind}, is compared with {value!r:.40}")
        return name


def ids_filter(ids: Iterable[str]) -> str:
    """Return the filter that names these entities; the name of the primary key is `id`."""
    listed = ", ".join(map(literal, ids))
    return f"id in [{listed}]" if listed else NOTHING
