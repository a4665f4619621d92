"""The descriptions that memstore ships: beside each revision, what it adds to the schema, changes in it and drops."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..scripts import revisions, script_location
from .objects import Catalog, dump_objects, load_objects

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .objects import Attributes, DbObject

_WIDTH = "({dim})"  # stands for the width of embeddings, as in vector({dim})


def shipped_catalog(revision: str, embedding_dim: int) -> Catalog:
    """Return what the schema is at `revision` in a database whose embeddings are `embedding_dim` wide.

    Raises:
        ValueError: there is no such revision.
        MigrationError: a revision was begun and not described yet.
    """
    known = revisions()
    objects: dict[DbObject, Attributes] = {}
    for each in known[: known.index(revision) + 1]:
        for changed, attributes in load_objects(_text(each).replace(_WIDTH, f"({embedding_dim})")).items():
            if attributes is None:
                del objects[changed]
            else:
                objects[changed] = attributes
    return Catalog({each: objects[each] for each in sorted(objects)})


def difference_text(
    before: Mapping[DbObject, Attributes], after: Mapping[DbObject, Attributes], embedding_dim: int
) -> str:
    """Return what is shipped beside a revision that makes `after` of `before`: null for what it drops."""
    changed: dict[DbObject, Attributes | None] = {
        each: after.get(each) for each in sorted(before.keys() | after.keys()) if before.get(each) != after.get(each)
    }
    return dump_objects(changed).replace(f"({embedding_dim})", _WIDTH)


def description_path(revision: str) -> Path:
    """Return the file beside a revision that says what it does to the schema."""
    return script_location() / "catalog" / f"{revision}.json"


@cache
def _text(revision: str) -> str:
    path = description_path(revision)
    if not path.is_file():
        raise MigrationError(f"there is no description of {revision}: {path} is missing. Run: make catalog")
    return path.read_text(encoding="utf-8")
