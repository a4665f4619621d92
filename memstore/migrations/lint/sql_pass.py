"""The second pass: the SQL that revisions render, read by squawk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import Change, Kind
from .finding import Problem
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


def sql_problems(
    project: Project, wanted: Sequence[Script], revisions: Mapping[str | None, Revision]
) -> Iterator[tuple[str | None, Problem]]:
    """Yield what squawk says of the SQL of revisions, each with the id; None for what concerns env.py.

    What the first pass has seen in the file, and judged with more knowledge than squawk has, is not said again.
    """
    refusing = {name for name, each in revisions.items() if name is not None and each.refuses_downgrade}
    sql = rendered(project, wanted, refusing)
    for direction, failed, why in sql.failures:
        if failed in revisions and any(each.name == _ONLINE for each in revisions[failed].changes[direction]):
            continue
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
        for remark in said:
            if not _is_judged(remark, revision.changes[direction]):
                code = f"SQ-{remark.rule}"
                what = f"{direction}(): {_shortened(remark.statement)}: {remark.message}"
                yield revision_id, Problem(code, revision.line_of(direction), what, CHOSEN[remark.rule])


def _is_judged(remark: Remark, seen: Sequence[Change]) -> bool:
    for change in changes_of(remark.statement):
        if change.kind is Kind.OTHER:
            continue
        for each in seen:
            same_table = change.table == each.table or Kind.DROP_INDEX is change.kind
            if change.kind is each.kind and same_table and _bare(change.name) == _bare(each.name):
                return True
    return False


def _bare(name: str | None) -> str | None:
    return name and name.rpartition(".")[2]


def _shortened(statement: str) -> str:
    return statement if len(statement) <= _SHOWN else f"{statement[: _SHOWN - 3]}..."
