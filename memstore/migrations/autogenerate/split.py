"""What is to be done, parted by how it runs: safe operations that commit, and plain ones that share a transaction."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from alembic.operations import ops

from .columns import Tables, added_column, altered_column
from .operations import CreateIndex
from .safe_forms import Safe, Turn, safe_form, swap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.operations import MigrateOperation
    from alembic.operations.ops import UpgradeOps

    from .columns import ColumnKey
    from .safe_forms import Column
    from .safe_operations import Calls

Plain = tuple["ops.ModifyTableOps | None", "MigrateOperation"]
"""A plain operation, and the operations on a table that it is one of."""

Part = list["Calls"] | list["MigrateOperation"]


def split(upgrade: UpgradeOps, tables: Tables, *, archive: bool) -> list[Part]:
    """Return the operations in parts of one kind each, at most three: safe ones, plain ones, safe ones.

    What is dropped safely comes before the plain operations, and what is created safely after them, unless it has
    nothing to do with those: then it goes along with whatever safe operations there are.
    """
    forms = [
        (container, operation, form)
        for container, operation in _leaves(upgrade)
        for form in _forms(operation, tables, archive=archive)
    ]
    changed = {column for _, _, form in forms if not isinstance(form, Safe) for column in tables.changed_by(form)}
    plain: list[Plain] = []
    safe: list[Safe] = []
    for container, operation, form in forms:
        if not isinstance(form, Safe):
            plain.append((container, form))
        elif _has_to_be_plain(form, tables, changed):
            plain.append((container, operation))
        else:
            safe.append(form)
    before: list[Safe] = []
    free: list[Safe] = []
    after: list[Safe] = []
    together = _made_again(safe, tables, changed)
    for each in _with_swaps(safe, tables, changed):
        needs = tables.columns(each)
        if each.turn == Turn.SWAP or each.constraint in together:
            free.append(each)
        elif each.is_drop:
            (after if each.is_key and tables.are_left(needs) else before).append(each)
        elif not needs.isdisjoint(changed) or tables.are_new(needs):
            after.append(each)
        else:
            (before if each.is_key and tables.are_met(needs) else free).append(each)
    (before if before and not after else after).extend(free)
    parts: list[Part] = [_in_turn(before), _regrouped(plain), _in_turn(after)]
    return [part for part in parts if part]


def _leaves(upgrade: UpgradeOps) -> Iterator[Plain]:
    for operation in upgrade.ops:
        if isinstance(operation, ops.ModifyTableOps):
            yield from ((operation, each) for each in operation.ops)
        else:
            yield None, operation


def _forms(operation: MigrateOperation, tables: Tables, *, archive: bool) -> Iterator[MigrateOperation | Safe]:
    """Yield what an operation becomes: safe where its table is in use, itself where not."""
    if not tables.is_in_use(operation):
        if isinstance(operation, CreateIndex):
            operation = operation.in_transaction()
        yield from tables.archived(operation) if archive else [operation]
    elif isinstance(operation, ops.AddColumnOp):
        yield from added_column(operation, archive=archive)
    elif isinstance(operation, ops.DropColumnOp):
        back = added_column(operation.reverse(), archive=archive)
        yield from (each.reversed() if isinstance(each, Safe) else each.reverse() for each in reversed(list(back)))
    elif isinstance(operation, ops.AlterColumnOp):
        yield from altered_column(operation)
    else:
        form = None if tables.allows_no_safe_form(operation) else safe_form(operation)
        yield form if form is not None else operation


def _has_to_be_plain(step: Safe, tables: Tables, changed: set[ColumnKey]) -> bool:
    """Tell whether a key has to go after the tables that refer to it, and before the columns that it is on."""
    needs = tables.columns(step)
    return step.is_key and step.is_drop and tables.are_left(needs) and not needs.isdisjoint(changed)


def _made_again(steps: list[Safe], tables: Tables, changed: set[ColumnKey]) -> set[Column]:
    """Return the constraints that are dropped and created and may be so in one revision, whatever else there is to do.

    Were a revision between the two, its failure would leave the table without the constraint. A run that is killed
    after the second begins with the first again, and drops the new one: which is then made again, so no harm is done.
    """
    alone = [each for each in steps if not _has_to_wait(each, tables, changed)]
    dropped, created = ({each.constraint for each in alone if each.is_drop is drops} for drops in (True, False))
    return {each for each in dropped & created if each is not None}


def _has_to_wait(step: Safe, tables: Tables, changed: set[ColumnKey]) -> bool:
    """Tell whether a constraint comes or goes with a column or a table, or is what another table refers to."""
    needs = tables.columns(step)
    referred_to = step.is_key and (tables.are_left(needs) or tables.are_met(needs))
    return referred_to or not needs.isdisjoint(changed) or tables.are_new(needs) or tables.are_gone(needs)


def _with_swaps(steps: list[Safe], tables: Tables, changed: set[ColumnKey]) -> Iterator[Safe]:
    """Yield the steps, an index and another of its name as one where no column of theirs is changed."""
    apart = [each for each in steps if each.index is not None and tables.columns(each).isdisjoint(changed)]
    dropped = {_named(each.index): each for each in apart if each.is_drop and each.index is not None}
    created = {_named(each.index): each for each in apart if not each.is_drop and each.index is not None}
    for each in steps:
        name = _named(each.index) if each.index is not None else None
        if name not in dropped.keys() & created.keys() or each not in apart:
            yield each
        elif each.is_drop:
            yield swap(each, created[name])


def _named(index: CreateIndex) -> tuple[str | None, str, str]:
    return index.schema, index.table_name, str(index.index_name)


def _in_turn(steps: list[Safe]) -> list[Calls]:
    return [each.calls for each in sorted(steps, key=lambda step: step.turn)]


def _regrouped(plain: Sequence[Plain]) -> list[MigrateOperation]:
    """Return plain operations as Alembic had them, those on one table together."""
    found: list[MigrateOperation] = []
    for _, group in groupby(plain, key=lambda each: id(each[0]) if each[0] is not None else None):
        listed = list(group)
        container = listed[0][0]
        operations = [operation for _, operation in listed]
        if container is None:
            found += operations
        else:
            found.append(ops.ModifyTableOps(container.table_name, operations, schema=container.schema))
    return found
