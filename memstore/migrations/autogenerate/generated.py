"""Generated columns: another expression is another column, since PostgreSQL 16 cannot change one in place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from sqlalchemy import Computed

from ..sql_text import literal, quoted, quoted_table
from .internals import compiled
from .operations import RunStatements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import AlterColumnOp, MigrateOperation
    from sqlalchemy import Column

    from .comparison import Comparison
    from .database import DatabaseConstraint

# PRIMARY KEY, UNIQUE, EXCLUDE: those that are dropped with a column. CHECKs and foreign keys go their own ways.
_OF_INDEXES = ("p", "u", "x")
_log = logging.getLogger(__name__)


def take_over(
    _context: AutogenContext,
    _operation: AlterColumnOp,
    _schema: str | None,
    _table: str,
    _name: str,
    reflected: Column[Any],
    model: Column[Any],
) -> PriorityDispatchResult:
    """Keep Alembic from warning that it cannot change a generated column: the table's comparison does."""
    generated = isinstance(model.server_default, Computed) or isinstance(reflected.server_default, Computed)
    return PriorityDispatchResult.STOP if generated else PriorityDispatchResult.CONTINUE


def generated_expressions(table: Comparison) -> Iterator[tuple[str, str]]:
    """Yield each expression that has to be compared, with what to call it."""
    for name, model in _model_expressions(table).items():
        found = table.found.columns[name].expression if name in table.found.columns else None
        if found is not None and model != found:
            yield model, f"the expression of generated column {name}"
            yield found, f"the expression of generated column {name}"


def find_rebuilt(table: Comparison) -> None:
    """Find the generated columns that are to be dropped and added."""
    if table.model is None or table.reflected is None:
        return
    models = _model_expressions(table)
    for column in table.model.columns:
        found, reflected = table.found.columns.get(column.name), table.reflected.columns.get(column.name)
        if found is None or reflected is None or (column.name not in models and found.expression is None):
            continue
        changed = not table.expressions.same(models.get(column.name), found.expression)
        if isinstance(column.server_default, Computed) and found.expression is not None:
            persisted = column.server_default.persisted
            changed = changed or (persisted is not None and persisted != found.stored)
            changed = changed or not found.uses.isdisjoint(table.retyped)
        wanted = table.wanted_by_name(column.name, "column")
        if changed and wanted and table.wanted(column, column.name, "column", reflected=False, other=reflected):
            if column.name in models and found.expression is not None:
                _log.info("Detected changed expression of generated column '%s.%s'", table.name, column.name)
            else:
                _log.warning("'%s.%s' is dropped and added: the values it has are lost", table.name, column.name)
            table.rebuilt.add(column.name)


def rebuild(table: Comparison, others: list[MigrateOperation]) -> None:
    """Propose to drop and add the columns found, with the PRIMARY KEY, UNIQUE and EXCLUDE on them.

    `others` is what Alembic proposes: what it drops anyway is not dropped twice.
    """
    if table.model is None or table.reflected is None or not table.rebuilt:
        return
    others[:] = [op for op in others if not (isinstance(op, ops.AlterColumnOp) and op.column_name in table.rebuilt)]
    dropped = {str(op.constraint_name) for op in others if isinstance(op, ops.DropConstraintOp)}
    again = [
        _made_again(table, name, constraint)
        for name, constraint in sorted(table.found.constraints.items())
        if constraint.kind in _OF_INDEXES
        and name not in dropped
        and not constraint.inherited
        and not constraint.columns.isdisjoint(table.rebuilt)
    ]
    names = sorted(table.rebuilt)
    # What Alembic drops and adds may be on such a column too.
    leaving = [op for op in others if isinstance(op, ops.DropConstraintOp)]
    coming = [op for op in others if isinstance(op, ops.AddConstraintOp)]
    others[:] = [op for op in others if op not in leaving and op not in coming]
    table.drops += leaving
    table.drops += again
    table.drops += [
        ops.DropColumnOp.from_column_and_tablename(table.schema, table.name, table.reflected.columns[name])
        for name in names
    ]
    # Before everything that uses them.
    table.creates[:0] = [
        *(
            ops.AddColumnOp.from_column_and_tablename(table.schema, table.name, table.model.columns[name])
            for name in names
        ),
        *(each.reverse() for each in again),
        *coming,
    ]


def in_order(operations: Iterable[MigrateOperation]) -> list[MigrateOperation]:
    """Return what happens to one table in an order that runs, up and down.

    A generated column goes before the columns that it uses, and comes after them.
    """
    listed = list(operations)
    added = {each.column.name for each in listed if isinstance(each, ops.AddColumnOp)}
    steps = [_step(each, added) for each in listed]
    if _DROP_GENERATED not in steps and _ADD_GENERATED not in steps:
        return listed
    return [each for step in range(_REST + 1) for each, its in zip(listed, steps, strict=True) if its == step]


_DROP_CONSTRAINTS, _DROP_GENERATED, _CHANGE_COLUMNS, _ADD_GENERATED, _REST = range(5)


def _step(operation: MigrateOperation, added: set[str]) -> int:
    if isinstance(operation, ops.DropConstraintOp | ops.DropIndexOp):
        return _DROP_CONSTRAINTS
    if isinstance(operation, RunStatements):
        return _DROP_CONSTRAINTS if operation.change[0].startswith("remove_") else _REST
    if isinstance(operation, ops.DropColumnOp):
        generated = operation.to_column().computed is not None or operation.column_name in added
        return _DROP_GENERATED if generated else _REST
    if isinstance(operation, ops.AddColumnOp):
        return _ADD_GENERATED if operation.column.computed is not None else _CHANGE_COLUMNS
    return _CHANGE_COLUMNS if isinstance(operation, ops.AlterColumnOp) else _REST


def _made_again(table: Comparison, name: str, found: DatabaseConstraint) -> RunStatements:
    """Return what drops a constraint, and makes it again on the way back: as the server says it, with everything."""
    where = (table.schema or "", table.name, name)
    again = [f"ALTER TABLE {table.sql_name} ADD CONSTRAINT {quoted(name)} {found.definition}"]
    if found.index is not None:
        index = quoted_table(table.schema, found.index)
        if found.options:
            again.append(f"ALTER INDEX {index} SET ({found.options})")
        if found.index_comment is not None:
            again.append(f"COMMENT ON INDEX {index} IS {literal(found.index_comment)}")
    if found.comment is not None:
        again.append(f"COMMENT ON CONSTRAINT {quoted(name)} ON {table.sql_name} IS {literal(found.comment)}")
    drop = f"ALTER TABLE {table.sql_name} DROP CONSTRAINT {quoted(name)}"
    return RunStatements(("remove_constraint", *where), [drop], ("add_constraint", *where), again, place="there")


def _model_expressions(table: Comparison) -> dict[str, str]:
    columns = table.model.columns if table.model is not None else ()
    return {
        column.name: compiled(column.server_default.sqltext)
        for column in columns
        if isinstance(column.server_default, Computed)
    }
