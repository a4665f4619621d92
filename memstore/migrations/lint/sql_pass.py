"""The second pass: the SQL that revisions render, read by squawk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..consent import CONSENT
from .changes import Kind
from .finding import Problem
from .locks import updated
from .losses import emptied
from .placed import Order
from .problems import known
from .rendering import rendered
from .squawk import CHOSEN, Remark, remarks
from .statements import changes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alembic.script import Script

    from .project import Project
    from .revision import Revision

_SHOWN = 120
# Never renders: it asks the database what hangs on the column. The first pass has read what is around it.
_ONLINE = "op.change_embedding_width"
_WRITING = (Kind.UPDATE, Kind.DELETE, Kind.TRUNCATE)
# What the first pass has looked at where it has seen such a change. Of one statement it may have seen some, not others.
_JUDGED: dict[str, set[Kind]] = {
    "adding-field-with-default": {Kind.ADD_COLUMN},
    "adding-foreign-key-constraint": {Kind.FOREIGN_KEY},
    "adding-not-nullable-field": {Kind.ADD_COLUMN, Kind.SET_NOT_NULL},
    "adding-required-field": {Kind.ADD_COLUMN},
    "adding-serial-primary-key-field": {Kind.PRIMARY_KEY},
    "ban-concurrent-index-creation-in-transaction": {Kind.CREATE_INDEX},
    "ban-drop-extension": {Kind.DROP_EXTENSION},
    "changing-column-type": {Kind.SET_TYPE},
    "constraint-missing-not-valid": {Kind.FOREIGN_KEY, Kind.CHECK, Kind.UNIQUE, Kind.PRIMARY_KEY, Kind.EXCLUDE},
    "disallowed-unique-constraint": {Kind.UNIQUE, Kind.PRIMARY_KEY},
    "renaming-column": {Kind.RENAME_COLUMN},
    "renaming-table": {Kind.RENAME_TABLE},
    "require-concurrent-index-creation": {Kind.CREATE_INDEX},
    "require-concurrent-index-deletion": {Kind.DROP_INDEX},
    "require-concurrent-reindex": {Kind.REINDEX},
}


def sql_problems(
    project: Project, wanted: Sequence[Script], revisions: Mapping[str | None, Revision]
) -> Iterator[tuple[str | None, Problem]]:
    """Yield what is found in the SQL of revisions, mostly by squawk, each with the id; None for what concerns env.py.

    What the first pass has seen in the file, and judged with more knowledge than squawk has, is not said again.
    """
    refusing = {name for name, each in revisions.items() if name is not None and each.refuses_downgrade}
    sql = rendered(project, wanted, refusing)
    for direction, failed, why in sql.failures:
        if failed in revisions and any(each.name == _ONLINE for each in revisions[failed].changes[direction]):
            continue
        if direction == "downgrade" and CONSENT in why:
            continue  # a host's way down that takes memstore along is refused, as it should be
        line = 1 if failed is None else revisions[failed].line_of(direction) if failed in revisions else 1
        what = f"{direction} cannot be rendered offline: {why}"
        fix = (
            f"context.is_offline_mode() in env.py: memstore db lint runs it as alembic {direction} --sql does"
            if failed is None
            else "op.execute with the whole statement instead of reading the database; or # lint: MS904 because ..."
        )
        yield failed if failed in revisions else None, Problem("MS904", line, what, fix)
    pieces = {key: each for key, each in sql.pieces.items() if key[1] in revisions}
    for (direction, revision_id), said in zip(pieces, remarks(list(pieces.values())), strict=True):
        revision = revisions[revision_id]
        seen = revision.order(direction)
        for code, what, fix in _written(pieces[direction, revision_id], seen):
            yield revision_id, Problem(code, revision.line_of(direction), f"{direction}(): {what}", fix)
        for remark in said:
            if not _is_judged(remark, seen):
                code = f"SQ-{remark.rule}"
                what = f"{direction}(): {_shortened(remark.statement)}: {remark.message}"
                yield revision_id, Problem(code, revision.line_of(direction), what, CHOSEN[remark.rule])


def _is_judged(remark: Remark, seen: Order) -> bool:
    """Tell whether the first pass has seen all that a remark may be about, and judged it."""
    kinds = _JUDGED.get(remark.rule, set())
    said = [each for each in changes_of(remark.statement) if each.kind in kinds]
    return bool(said) and all(seen.has(each) for each in said)


def _written(sql: str, seen: Order) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with rows that are written all at once, where the first pass could not tell."""
    archived = {each.change.table for each in seen.of(Kind.ARCHIVE)}
    told = {(each.change.kind, each.change.table) for each in seen.of(*_WRITING) if not each.change.safe}
    for placed in Order(seen.direction, changes_of(sql)).of(*_WRITING):
        change = placed.change
        if change.safe or not known(placed) or (change.kind, change.table) in told:
            continue
        if change.kind is Kind.UPDATE:
            yield "MS114", *updated(change)
        elif not archived & {change.table, None}:
            yield "MS204", *emptied(change)


def _shortened(statement: str) -> str:
    return statement if len(statement) <= _SHOWN else f"{statement[: _SHOWN - 3]}..."
