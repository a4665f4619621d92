"""What a description of a schema is made of: objects, each with its attributes, in one order everywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Attributes = dict[str, Any]

_PART_OF_TABLE = ("constraint", "trigger", "policy", "rule")


class DbObject(NamedTuple):
    """A thing in a schema: its kind, the table or object that it is on, and its name, both as SQL writes them."""

    kind: str
    on: str
    name: str

    def __str__(self) -> str:
        if self.kind == "column":
            return f"column {self.on}.{self.name}"
        if self.kind in _PART_OF_TABLE:
            return f"{self.kind} {self.name} on {self.on}"
        if self.kind == "grant":
            return f"grant on {self.on} to {self.name}"
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything in a schema, and the role that owns it.

    objects: by kind, table and name; what an object has as PostgreSQL makes it by default is not said.
    """

    objects: Mapping[DbObject, Attributes]
    owner: str | None = None

    def to_json(self) -> str:
        """Return the description as JSON: kind, table, name, attributes. Equal schemas give equal texts."""
        return dump_objects(self.objects)


def dump_objects(objects: Mapping[DbObject, Attributes | None]) -> str:
    """Write objects as JSON, three levels deep: by kind, by what they are on, by name."""
    nested: dict[str, dict[str, dict[str, Attributes | None]]] = {}
    for each in sorted(objects):
        nested.setdefault(each.kind, {}).setdefault(each.on, {})[each.name] = objects[each]
    return json.dumps(nested, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def load_objects(text: str) -> dict[DbObject, Attributes | None]:
    """Read what `dump_objects` wrote."""
    return {
        DbObject(kind, on, name): attributes
        for kind, places in json.loads(text).items()
        for on, names in places.items()
        for name, attributes in names.items()
    }
