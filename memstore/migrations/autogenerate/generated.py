"""Generated columns: another expression is another column, since PostgreSQL 16 cannot change one in place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from sqlalchemy import Computed, ForeignKeyConstraint, UniqueConstraint

from .internals import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import AlterColumnOp, MigrateOperation
    from sqlalchemy import Column

    from .comparison import Comparison

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
    """Propose to drop and add the columns found, with the table's own constraints that use them.

    `others` is what Alembic proposes: what it drops anyway is not dropped twice.
    """
    if table.model is None or table.reflected is None or not table.rebuilt:
        return
    others[:] = [op for op in others if not (isinstance(op, ops.AlterColumnOp) and op.column_name in table.rebuilt)]
    dropped = {str(op.constraint_name) for op in others if isinstance(op, ops.DropConstraintOp)}
    again = {}
    for constraint in table.reflected.constraints:
        if not isinstance(constraint, UniqueConstraint | ForeignKeyConstraint) or str(constraint.name) in dropped:
            continue
        if not table.rebuilt.isdisjoint(column.name for column in constraint.columns):
            again[str(constraint.name)] = constraint
    names = sorted(table.rebuilt)
    # What Alembic drops and adds may be on such a column too.
    leaving = [op for op in others if isinstance(op, ops.DropConstraintOp)]
    coming = [op for op in others if isinstance(op, ops.AddConstraintOp)]
    others[:] = [op for op in others if op not in leaving and op not in coming]
    table.drops += leaving
    table.drops += [ops.DropConstraintOp.from_constraint(again[name]) for name in sorted(again)]
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
        *(ops.AddConstraintOp.from_constraint(again[name]) for name in sorted(again)),
        *coming,
    ]


def _model_expressions(table: Comparison) -> dict[str, str]:
    columns = table.model.columns if table.model is not None else ()
    return {
        column.name: compiled(column.server_default.sqltext)
        for column in columns
        if isinstance(column.server_default, Computed)
    }
