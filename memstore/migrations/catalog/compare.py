"""Comparing two descriptions of a schema, object by object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .objects import DbObject
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
    """Return how `found` differs from `needed`, in the order of the objects.

    What is on a table that is missing or unexpected is not named beside it. A vector index that `needed` does not have
    is no difference as long as it is valid: which is right depends on the rows, and is not for a revision to say.
    """
    differences = []
    for each in sorted(found.objects.keys() | needed.objects.keys()):
        has, wants = found.objects.get(each), needed.objects.get(each)
        if has == wants or _is_told_with_its_table(each, found, needed) or _is_vector_index(each, has, wants):
            continue
        changes = _changes(has, wants) if has is not None and wants is not None else ()
        if changes == ():
            if has is not None and wants is not None:
                continue
            problem = Problem.MISSING if has is None else Problem.UNEXPECTED
        else:
            problem = Problem.DIFFERENT
        statements = remedy(each, [change.attribute for change in changes], found, needed)
        differences.append(Difference(str(each), problem, changes, statements))
    return tuple(differences)


def vector_indexes(found: Catalog, needed: Catalog) -> tuple[str, ...]:
    """Return the names of the valid vector indexes in `found` that `needed` leaves to others."""
    return tuple(
        each.name for each, has in found.objects.items() if _is_vector_index(each, has, needed.objects.get(each))
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
    return _version(has[attribute]) >= _version(wants[attribute])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _is_told_with_its_table(each: DbObject, found: Catalog, needed: Catalog) -> bool:
    """Tell whether the table or view that this is on is missing or unexpected, or the view has other columns."""
    for kind in _WITH_COLUMNS:
        whole = DbObject(kind, "", each.on.removeprefix(f"{kind} ") if each.kind == "grant" else each.on)
        has, wants = found.objects.get(whole), needed.objects.get(whole)
        if (has is None) != (wants is None):
            return True
        if each.kind == "column" and kind == "view" and has and wants and has["definition"] != wants["definition"]:
            return True
    return False


def _is_vector_index(each: DbObject, has: Attributes | None, wants: Attributes | None) -> bool:
    return (
        each.kind == "index"
        and wants is None
        and has is not None
        and has["method"] in VECTOR_METHODS
        and has.get("valid", True)
    )
