"""CHECK constraints: missing, extra, with another text, not validated."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint

from ..sql_text import literal, quoted
from .internals import compiled, created_here, final_name, type_bound
from .names import ServerNames
from .operations import CreateCheck, DropCheck, RunStatements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .comparison import Comparison
    from .database import DatabaseCheck

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """A CHECK of the models: `by_name` where it is its name that says which one of the database it is."""

    constraint: CheckConstraint
    name: str | None
    expression: str
    by_name: bool
    column: str | None


def model_checks(table: Comparison) -> list[ModelCheck]:
    """Return the CHECKs of the models, those of columns and of types included."""
    if table.model is None:
        return []
    found: list[tuple[CheckConstraint, str | None]] = [
        (each, None) for each in table.model.constraints if isinstance(each, CheckConstraint)
    ]
    found += [
        (each, column.name)
        for column in table.model.columns
        for each in column.constraints
        if isinstance(each, CheckConstraint)
    ]
    return sorted(
        (_model_check(check, column) for check, column in found if created_here(check)),
        key=lambda check: (check.name or "", check.expression),
    )


def check_expressions(table: Comparison, models: list[ModelCheck]) -> Iterator[tuple[str, str]]:
    """Yield each expression that has to be compared, with what to call it."""
    named = {check.name: check for check in models if check.name in table.found.checks}
    unmatched = any(check.name not in table.found.checks for check in models)
    for check in models:
        if check.name not in table.found.checks:
            yield check.expression, _label(table, check.name)
    for name, found in table.found.checks.items():
        model = named.get(name)
        if model is not None and model.expression != found.expression:
            yield model.expression, _label(table, name)
            yield found.expression, _label(table, name)
        elif model is None and unmatched:
            yield found.expression, _label(table, name)


def compare_checks(table: Comparison, models: list[ModelCheck]) -> None:
    """Propose what brings the CHECKs of a table to what the models say."""
    found = {name: each for name, each in table.found.checks.items() if table.wanted_by_name(name, "check_constraint")}
    rest = dict(found)
    missing: list[ModelCheck] = []
    names = ServerNames.of(table, models)
    for check in models:
        if check.name in rest:
            _compare(table, check, rest.pop(check.name))
        elif check.name not in table.found.checks:
            missing.append(check)
    for check in missing:
        if check.name is None and _comes_with_column(table, check):
            names.take(check.expression)
    for check in missing:
        match = None if check.by_name else _find(table, check, rest)
        if match is not None:
            _compare(table, check, rest.pop(match.name))
        elif not _comes_with_column(table, check) and table.wanted(
            check.constraint, check.name, "check_constraint", reflected=False
        ):
            name = check.name or names.take(check.expression)
            _log.info("Detected added check constraint %r on table %r", name, table.name)
            table.creates.append(_create(table, name, check, None))
    for name, extra in sorted((name, each) for name, each in rest.items() if not each.inherited):
        drop = DropCheck.of(_create_again(table, extra))
        if table.wanted(drop.to_constraint(), name, "check_constraint", reflected=True):
            _log.info("Detected removed check constraint %r on table %r", name, table.name)
            table.drops.append(drop)


def create_column_checks(table: Comparison, models: list[ModelCheck]) -> None:
    """Propose the CHECKs of a new table's columns: Alembic writes those of the table and of types into CREATE TABLE."""
    names = ServerNames.of(table, models)
    for check in models:
        if check.column is None and check.name is None:
            names.take(check.expression)  # the server gives it that name in CREATE TABLE
    for check in models:
        if check.column is not None and table.wanted(check.constraint, check.name, "check_constraint", reflected=False):
            table.creates.append(_create(table, check.name or names.take(check.expression), check, None))


def keep_comments(table: Comparison) -> None:
    """Bring comments back with a dropped table: Alembic makes its CHECKs again, and not what is said of them."""
    for name, found in sorted(table.found.checks.items()):
        if found.comment is not None:
            comment = f"COMMENT ON CONSTRAINT {quoted(name)} ON {table.sql_name} IS"
            where = (table.schema or "", table.name, name)
            table.drops.append(
                RunStatements(
                    ("remove_constraint_comment", *where),
                    [f"{comment} NULL"],
                    ("add_constraint_comment", *where),
                    [f"{comment} {literal(found.comment)}"],
                    place="first",
                )
            )


def _compare(table: Comparison, model: ModelCheck, found: DatabaseCheck) -> None:
    if found.inherited:  # it is the parent's, and follows it
        return
    drop = DropCheck.of(_create_again(table, found))
    changed = not table.expressions.same(model.expression, found.expression)
    rebuilt = not found.columns.isdisjoint(table.rebuilt)
    validated = found.valid or _not_valid(model)
    if not (changed or rebuilt) and validated:
        return
    if (changed or not validated) and not table.wanted(
        model.constraint, found.name, "check_constraint", reflected=False, other=drop.to_constraint()
    ):
        if rebuilt:
            table.drops.append(drop)
            table.creates.append(drop.create)
        return
    if changed or rebuilt:
        _log.info("Detected changed check constraint %r on table %r", found.name, table.name)
        table.drops.append(drop)
        table.creates.append(_create(table, found.name, model, found.comment))
    else:
        _log.info("Detected check constraint %r on table %r, not validated", found.name, table.name)
        table.creates.append(_validate(table, found))


def _create(table: Comparison, name: str, model: ModelCheck, comment: str | None) -> CreateCheck:
    return CreateCheck(name, table.name, table.schema, model.expression, not_valid=_not_valid(model), comment=comment)


def _create_again(table: Comparison, found: DatabaseCheck) -> CreateCheck:
    return CreateCheck(
        found.name,
        table.name,
        table.schema,
        found.expression,
        not_valid=not found.valid,
        no_inherit=found.no_inherit,
        comment=found.comment,
    )


def _validate(table: Comparison, found: DatabaseCheck) -> RunStatements:
    alter, name = f"ALTER TABLE {table.sql_name}", quoted(found.name)
    down = [f"{alter} DROP CONSTRAINT {name}", f"{alter} ADD CONSTRAINT {name} {found.definition}"]
    if found.comment is not None:
        down.append(f"COMMENT ON CONSTRAINT {name} ON {table.sql_name} IS {literal(found.comment)}")
    where = (table.schema or "", table.name, found.name)
    return RunStatements(
        ("validate_constraint", *where),
        [f"{alter} VALIDATE CONSTRAINT {name}"],
        ("invalidate_constraint", *where),
        down,
    )


def _model_check(check: CheckConstraint, column: str | None) -> ModelCheck:
    name = final_name(check)
    by_name = name is not None and not type_bound(check)
    return ModelCheck(check, name, compiled(check.sqltext), by_name, column)


def _comes_with_column(table: Comparison, model: ModelCheck) -> bool:
    """Tell whether the type of a column that is about to be added brings the CHECK along."""
    columns = {column.name for column in model.constraint.columns}
    reflected = table.reflected.columns if table.reflected is not None else ()
    return type_bound(model.constraint) and not columns <= {column.name for column in reflected}


def _not_valid(model: ModelCheck) -> bool:
    return bool(model.constraint.dialect_options["postgresql"]["not_valid"])


def _find(table: Comparison, model: ModelCheck, rest: dict[str, DatabaseCheck]) -> DatabaseCheck | None:
    matches = (each for each in rest.values() if table.expressions.same(model.expression, each.expression))
    return next(matches, None)


def _label(table: Comparison, name: str | None) -> str:
    return f"CHECK constraint {name}" if name else f"an unnamed CHECK constraint of {table.name}"
