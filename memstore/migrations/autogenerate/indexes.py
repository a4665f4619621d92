"""Indexes: method, keys and their operator classes, INCLUDE, parameters, predicate, validity."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.schema import CreateIndex as CreateIndexStatement

from ..sql_text import DIALECT, quoted_table
from .internals import final_name
from .operations import CreateIndex, DropIndex
from .revisions import is_named_in_revisions
from .sql import parse_create_index, parse_opclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Index

    from .comparison import Comparison
    from .database import DatabaseIndex
    from .sql import IndexDefinition, Key

_VECTOR_METHODS = ("hnsw", "ivfflat")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelIndex:
    """An index of the models, and what its CREATE INDEX says."""

    index: Index
    definition: IndexDefinition


def model_indexes(table: Comparison) -> dict[str, ModelIndex]:
    """Return the indexes of the models by the name that they have in the database."""
    found = {}
    for index in table.model.indexes if table.model is not None else ():
        name = final_name(index)
        if name is None:
            raise ValueError(f"an index of table {table.sql_name} has no name: give it one in the models")
        statement = str(CreateIndexStatement(index).compile(dialect=DIALECT))
        found[name] = ModelIndex(index, parse_create_index(statement))
    return found


def index_expressions(table: Comparison, models: dict[str, ModelIndex]) -> Iterator[tuple[str, str]]:
    """Yield each expression that has to be compared, with what to call it."""
    for name in models.keys() & table.found.indexes.keys():
        model, found = models[name].definition, table.found.indexes[name].definition
        for one, other in zip(model.keys, found.keys, strict=False):
            if one.expression != other.expression:
                yield one.expression, f"a key of index {name}"
                yield other.expression, f"a key of index {name}"
        if model.predicate and found.predicate and model.predicate != found.predicate:
            yield model.predicate, f"the predicate of index {name}"
            yield found.predicate, f"the predicate of index {name}"


def compare_indexes(table: Comparison, models: dict[str, ModelIndex]) -> None:
    """Propose what brings the indexes of a table to what the models say."""
    found = {name: index for name, index in table.found.indexes.items() if table.wanted_by_name(name, "index")}
    for name, index in sorted(found.items()):
        if index.inherited:  # it is the parent's, and follows it
            continue
        drop = DropIndex.of(_create_again(table, index))
        model = models.get(name)
        if model is None:
            if _is_left_alone(table, index) or not table.wanted(drop.to_index(), name, "index", reflected=True):
                continue
            _log.info("Detected removed index %r on %r", name, table.name)
            table.drops.append(drop)
            continue
        differences = list(_differences(table, model.definition, index))
        rebuilt = not index.columns.isdisjoint(table.rebuilt)
        if not differences and not rebuilt:
            continue
        if differences and not table.wanted(model.index, name, "index", reflected=False, other=drop.to_index()):
            if rebuilt:
                table.drops.append(drop)
                table.creates.append(drop.create)
            continue
        _log.info("Detected changed index %r on %r: %s", name, table.name, ", ".join(differences) or "its column")
        table.drops.append(drop)
        table.creates.append(_create(table, name, model, index.comment))
    for name, model in sorted(models.items()):
        if name not in table.found.indexes and table.wanted(model.index, name, "index", reflected=False):
            _log.info("Detected added index %r on %r", name, table.name)
            table.creates.append(_create(table, name, model, None))


def _create(table: Comparison, name: str, model: ModelIndex, comment: str | None) -> CreateIndex:
    options = model.index.dialect_options["postgresql"]
    kept = {f"postgresql_{option}": options[option] for option in ("concurrently", "tablespace") if options[option]}
    return CreateIndex(name, table.name, table.schema, model.definition, comment, **kept)


def _create_again(table: Comparison, index: DatabaseIndex) -> CreateIndex:
    return CreateIndex(index.name, table.name, table.schema, index.definition, index.comment)


def _is_left_alone(table: Comparison, index: DatabaseIndex) -> bool:
    """Tell whether an index that the models do not have is somebody else's business.

    Which vector index is right depends on the rows, so they are made by hand or by a tool that looks at those. One
    that a revision names is the revisions', and one whose column goes is gone anyway.
    """
    if index.definition.method not in _VECTOR_METHODS or table.model is None:
        return False
    if not index.columns.isdisjoint(table.leaving | table.rebuilt):
        return False
    if is_named_in_revisions(table.context, index.name):
        return False
    _log.info(
        "Left alone: %s index %r on %s, which neither the models nor a revision name. To drop it, type: DROP INDEX %s",
        index.definition.method,
        index.name,
        table.sql_name,
        quoted_table(table.schema, index.name),
    )
    return True


def _differences(table: Comparison, model: IndexDefinition, index: DatabaseIndex) -> Iterator[str]:
    found = index.definition
    if not index.valid:
        yield "it is invalid"
    if model.unique != found.unique:
        yield f"unique {found.unique} to {model.unique}"
    if model.method != found.method:
        yield f"method {found.method} to {model.method}"
    if len(model.keys) != len(found.keys):
        yield f"{len(found.keys)} keys to {len(model.keys)}"
    else:
        for one, other, opclass in zip(model.keys, found.keys, index.opclasses, strict=True):
            if not _same_key(table, one, other, opclass):
                yield f"key {other.sql} to {one.sql}"
    if model.include != found.include:
        yield f"include {', '.join(found.include)} to {', '.join(model.include)}"
    if model.nulls_not_distinct != found.nulls_not_distinct:
        yield f"nulls not distinct {found.nulls_not_distinct} to {model.nulls_not_distinct}"
    if model.parameters != found.parameters:
        yield f"parameters {dict(found.parameters)} to {dict(model.parameters)}"
    if not table.expressions.same(model.predicate, found.predicate):
        yield f"predicate {found.predicate} to {model.predicate}"


def _same_key(table: Comparison, model: Key, found: Key, opclass: str) -> bool:
    if (model.descending, model.nulls_first) != (found.descending, found.nulls_first):
        return False
    if _bare(model.collation) != _bare(found.collation):
        return False
    if model.opclass is None:
        same = found.opclass is None
    else:  # the name of which the server does not print where it is the default
        parameters = parse_opclass(found.opclass)[1] if found.opclass else ()
        same = parse_opclass(model.opclass) == (opclass, parameters)
    return same and table.expressions.same(model.expression, found.expression)


def _bare(name: str | None) -> str | None:
    """Return a name without its schema and quotes."""
    return None if name is None else name.rpartition(".")[2].replace('"', "").replace(" ", "")
