"""Comparing two descriptions of a schema, object by object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..requirements import parse_version
from .objects import DbObject
from .order import in_order
from .remedy import remedy

if TYPE_CHECKING:
    from .objects import Attributes, Catalog

VECTOR_METHODS = frozenset({"hnsw", "ivfflat"})
_WITH_COLUMNS = ("table", "view", "materialized view", "foreign table")


class Problem(StrEnum):
    """What is wrong with an object."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Change:
    """An attribute of an object that is not as it should be; None is PostgreSQL's default, or that it is not there."""

    attribute: str
    found: Any
    needed: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """An object that is not as it should be.

    object: its kind and name, such as `index memstore.ix_tools_tags`.
    changes: which of its attributes differ; none where the object is missing or unexpected.
    remedy: the SQL that makes it as it should be, one statement each; run it as the owner of the tables.
    """

    object: str
    problem: Problem
    changes: tuple[Change, ...]
    remedy: tuple[str, ...]


def compare_catalogs(found: Catalog, needed: Catalog) -> tuple[Difference, ...]:
    """Return how `found` differs from `needed`, in an order in which the remedies can be run.

    What is on a table that is missing or unexpected is not named beside it. A vector index that `needed` does not have
    is no difference as long as it is valid, or being built: which is right depends on the rows, and is not for a
    revision to say.
    """
    differences = []
    for each in in_order(found, needed):
        has, wants = found.objects.get(each), needed.objects.get(each)
        if has == wants or _is_told_with_another(each, found, needed) or _is_left_to_others(each, has, wants):
            continue
        changes: tuple[Change, ...] = ()
        if has is None:
            problem = Problem.MISSING
        elif wants is None:
            problem = Problem.UNEXPECTED
        else:
            problem, changes = Problem.DIFFERENT, _changes(has, wants)
            if not changes:
                continue
        statements = remedy(each, [change.attribute for change in changes], found, needed)
        differences.append(Difference(str(each), problem, changes, statements))
    return tuple(differences)


def vector_indexes(found: Catalog, needed: Catalog) -> tuple[str, ...]:
    """Return the names of the valid vector indexes in `found` that `needed` leaves to others."""
    return tuple(
        each.name for each, has in found.objects.items() if _is_left_to_others(each, has, needed.objects.get(each))
    )


def _changes(has: Attributes, wants: Attributes) -> tuple[Change, ...]:
    changes = tuple(
        Change(attribute, has.get(attribute), wants.get(attribute))
        for attribute in sorted(has.keys() | wants.keys())
        if has.get(attribute) != wants.get(attribute) and not _is_enough(attribute, has, wants)
    )
    # The definition of an index says once more what its other attributes have said.
    telling = tuple(change for change in changes if change.attribute != "definition" or "keys" not in wants)
    return telling or changes


def _is_enough(attribute: str, has: Attributes, wants: Attributes) -> bool:
    """Tell whether a version, which only an extension has, is at least the one that is needed."""
    if attribute != "version" or attribute not in has:
        return False
    return parse_version(has[attribute]) >= parse_version(wants[attribute])


def _is_told_with_another(each: DbObject, found: Catalog, needed: Catalog) -> bool:
    """Tell whether the difference is another's: of a missing table, a view with other columns, an identity column."""
    if each.kind == "grant":
        return (each.on in map(str, found.objects)) != (each.on in map(str, needed.objects))
    for kind in _WITH_COLUMNS:
        whole = DbObject(kind, "", each.on)
        has, wants = found.objects.get(whole), needed.objects.get(whole)
        if (has is None) != (wants is None):
            return True
        if each.kind == "column" and kind == "view" and has and wants and has["definition"] != wants["definition"]:
            return True
    if each.kind != "sequence" or (each in found.objects and each in needed.objects):
        return False
    table, _, column = (found.objects.get(each) or needed.objects[each]).get("owned_by", "").rpartition(".")
    owner = DbObject("column", table, column)
    return any("identity" in side.objects.get(owner, {}) for side in (found, needed)) or (
        (owner in found.objects) != (owner in needed.objects)
    )


def _is_left_to_others(each: DbObject, has: Attributes | None, wants: Attributes | None) -> bool:
    """Tell whether this is an index that somebody is building, or a vector index."""
    if each.kind != "index" or wants is not None or has is None:
        return False
    return "being_built" in has or (has["method"] in VECTOR_METHODS and has.get("valid", True))
