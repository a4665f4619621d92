"""The comparators, as Alembic calls them: a column, a table, and the whole in the end."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from alembic.operations import ops
from alembic.util import DispatchPriority, PriorityDispatchResult

from ...models.security import INFO_KEY
from .checks import check_expressions, compare_checks, create_column_checks, keep_comments, model_checks
from .comparison import Comparison
from .database import database_table
from .dependents import make_way, note_changes
from .generated import find_rebuilt, generated_expressions, in_order, rebuild, take_over
from .indexes import compare_indexes, index_expressions, model_indexes
from .operations import RunStatements
from .row_security import compare_row_security, policy_expressions
from .types import compare_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, ModifyTableOps, UpgradeOps
    from alembic.runtime.plugins import Plugin
    from sqlalchemy import Table


def setup(plugin: Plugin) -> None:
    """Register the comparators, for PostgreSQL alone. Called by Alembic."""
    plugin.add_autogenerate_comparator(compare_type, "column", "types", qualifier="postgresql")
    plugin.add_autogenerate_comparator(
        take_over, "column", "server_default", qualifier="postgresql", priority=DispatchPriority.FIRST
    )
    plugin.add_autogenerate_comparator(
        compare_table, "table", "memstore", qualifier="postgresql", priority=DispatchPriority.LAST
    )
    plugin.add_autogenerate_comparator(
        order, "autogenerate", "memstore", qualifier="postgresql", priority=DispatchPriority.LAST
    )


def compare_table(
    context: AutogenContext,
    modify: ModifyTableOps,
    schema: str | None,
    name: str,
    reflected: Table | None,
    model: Table | None,
) -> PriorityDispatchResult:
    """Compare one table, after Alembic did: what it says about indexes and CHECKs is replaced."""
    table = Comparison(context, schema, name, model, reflected, database_table(context, schema, name))
    others = [op for op in modify.ops if not _is_ours(op)]
    altered = (op for op in others if isinstance(op, ops.AlterColumnOp))
    table.retyped = {op.column_name for op in altered if op.modify_type is not None}
    table.leaving = set(_leaving(table))
    indexes, checks = model_indexes(table), model_checks(table)
    if table.exists:
        questions = dict(generated_expressions(table))
        questions |= index_expressions(table, indexes)
        questions |= check_expressions(table, checks)
        questions |= policy_expressions(table)
        table.expressions.prepare(questions)
        find_rebuilt(table)
        compare_checks(table, checks)
    elif model is not None:
        create_column_checks(table, checks)
    else:
        keep_comments(table)
    compare_indexes(table, indexes)
    rebuild(table, others)
    compare_row_security(table)
    note_changes(table)
    modify.ops[:] = [*table.drops, *others, *table.creates]
    return PriorityDispatchResult.CONTINUE


def order(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """Put what names tables and columns of the whole schema, such as a policy, before and after everything else."""
    early: list[MigrateOperation] = []
    late: list[MigrateOperation] = []
    for operation in upgrade.ops:
        if isinstance(operation, ops.CreateTableOp):
            operation.info.pop(INFO_KEY, None)  # it would be written into the revision, which knows no such class
        if isinstance(operation, ops.ModifyTableOps):
            early += [each for each in operation.ops if _place(each) == "first"]
            late += [each for each in operation.ops if _place(each) == "last"]
            operation.ops = in_order(each for each in operation.ops if _place(each) == "there")
    first, last = make_way(context, upgrade, early)
    rest = [part for each in upgrade.ops for part in _parts(each)]
    upgrade.ops[:] = [*first, *early, *rest, *last, *late]
    return PriorityDispatchResult.CONTINUE


def _parts(operation: MigrateOperation) -> Iterator[MigrateOperation]:
    """Yield an operation, that on a table in parts between its statements: a batch would run these before the rest."""
    if not isinstance(operation, ops.ModifyTableOps):
        yield operation
        return
    for ours, group in groupby(operation.ops, key=lambda each: isinstance(each, RunStatements)):
        if ours:
            yield from group
        else:
            yield ops.ModifyTableOps(operation.table_name, list(group), schema=operation.schema)


def _place(operation: MigrateOperation) -> str:
    return operation.place if isinstance(operation, RunStatements) else "there"


def _is_ours(operation: MigrateOperation) -> bool:
    if isinstance(operation, ops.DropConstraintOp):
        return operation.constraint_type == "check"
    return isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp | ops.CreateCheckConstraintOp)


def _leaving(table: Comparison) -> list[str]:
    """Return the columns that Alembic is about to drop."""
    if table.model is None or table.reflected is None:
        return []
    return [
        column.name
        for column in table.reflected.columns
        if column.name not in table.model.columns
        and table.wanted_by_name(column.name, "column")
        and table.wanted(column, column.name, "column", reflected=True)
    ]
