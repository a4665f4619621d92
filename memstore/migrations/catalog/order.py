"""The order of objects in which differences can be mended one after the other.

What is too much goes first, what hangs on others before what it hangs on; then comes what is missing, the other way
round. It knows kinds of objects and the keys between tables; where more is tangled, a second pass mends the rest.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .objects import Attributes, Catalog, DbObject

_MAKING = (
    "role",
    "extension",
    "schema",
    "type",
    "plain function",
    "table",
    "sequence",
    "column",
    "key",
    "constraint",
    "index",
    "foreign key",
    "function",
    "view",
    "materialized view",
    "trigger",
    "rule",
    "policy",
    "grant",
)


def in_order(found: Catalog, needed: Catalog) -> list[DbObject]:
    """Return the objects of both, those that only `found` has in the order of dropping, then the others."""
    extra = [each for each in found.objects if each not in needed.objects]
    others = list(needed.objects)
    tables = _tables_in_order(needed)

    def place(each: DbObject, has: Attributes) -> tuple[int, int, DbObject]:
        kind = _kind(each, has)
        return _MAKING.index(kind) if kind in _MAKING else len(_MAKING), tables.get(each.name, 0), each

    extra.sort(key=lambda each: place(each, found.objects[each]), reverse=True)
    others.sort(key=lambda each: place(each, needed.objects[each]))
    return [*extra, *others]


def _kind(each: DbObject, has: Attributes) -> str:
    definition = str(has.get("definition", ""))
    if each.kind == "constraint" and definition.startswith("FOREIGN KEY"):
        return "foreign key"
    if each.kind == "constraint" and definition.startswith(("PRIMARY KEY", "UNIQUE")):
        return "key"
    if each.kind == "function" and "AS $" in definition:
        return "plain function"  # its body is not looked at before it runs
    return each.kind


def _tables_in_order(catalog: Catalog) -> dict[str, int]:
    """Return the place of each table after those that its foreign keys name."""
    graph: dict[str, set[str]] = {each.name: set() for each in catalog.objects if each.kind == "table"}
    for each, has in catalog.objects.items():
        if each.kind == "constraint" and (match := re.search(r"REFERENCES (\S+?)\(", has["definition"])):
            graph.setdefault(each.on, set()).add(match[1])
    for name, named in graph.items():
        named.discard(name)
    try:
        return {name: place for place, name in enumerate(TopologicalSorter(graph).static_order())}
    except CycleError:
        return {}
