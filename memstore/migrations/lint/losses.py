"""Rules about data: what is lost, and what those who run the last release meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import Change, Kind
from .problems import known, problem, shown
from .revision import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Problem
    from .revision import Placed, Revision


def losses(revision: Revision) -> Iterator[Problem]:
    """Yield what loses data, or breaks the release that is running."""
    yield from _drops(revision)
    yield from _archives(revision)
    for placed in revision.placed(Kind.DROP_EXTENSION):
        change = placed.change
        fix = f"nothing: leave the extension {change.name or ''} where it is; the next upgrade finds it".replace(
            "  ", " "
        )
        yield problem("MS202", change, f"DROP EXTENSION {change.name or ''} takes what others built on it along", fix)
    for placed in revision.placed(Kind.RENAME_TABLE, Kind.RENAME_COLUMN):
        change = placed.change
        if known(placed) and placed.direction == "upgrade":
            what = change.table if change.kind is Kind.RENAME_TABLE else f"{change.table}.{change.name}"
            fix = (
                'rename the attribute alone: mapped_column("old name"); or a new column, op.backfill, and the old one '
                "dropped a release later"
                if change.kind is Kind.RENAME_COLUMN
                else "rename the model alone and keep __tablename__; or leave a view of the old name behind"
            )
            yield problem("MS203", change, f"{what} is renamed while the last release still uses it", fix)
    for placed in revision.placed(Kind.TRUNCATE, Kind.DELETE):
        change = placed.change
        if known(placed) and not change.safe:
            fix = f"op.archive_table({shown(change.table)}) before it; or DELETE ... WHERE, outside of migrations"
            if not _archived(placed):
                yield problem("MS204", change, f"{change.kind.upper()} of every row of {change.table}", fix)


def _drops(revision: Revision) -> Iterator[Problem]:
    level = revision.constant("level")
    if level == "irreversible":
        return
    for placed in revision.placed(Kind.DROP_TABLE, Kind.DROP_COLUMN):
        change = placed.change
        # A way down without a level has promised nothing; a way up that drops has lost what no downgrade brings back.
        if not known(placed) or (level is None and placed.direction == "downgrade"):
            continue
        if _archived(placed) or _is_computed(revision, change):
            continue
        column = change.kind is Kind.DROP_COLUMN
        what = f"{change.table}.{change.name}" if column else change.table
        given = f"{shown(change.table)}, {shown(change.name)}" if column else shown(change.table)
        fix = f'op.archive_{"column" if column else "table"}({given}) before it, and level = "reversible_with_archive"'
        yield problem("MS201", change, f"{what} is dropped in {placed.direction}() and not archived", fix)


def _archived(placed: Placed) -> bool:
    change = placed.change
    column = change.name if change.kind is Kind.DROP_COLUMN else None
    return any(
        each.kind is Kind.ARCHIVE and each.table in (change.table, None) and each.name in (column, None)
        for each in placed.before
    )


def _is_computed(revision: Revision, change: Change) -> bool:
    """Tell whether a column that is dropped is one of expressions, which come back by themselves."""
    return change.kind is Kind.DROP_COLUMN and any(
        each.kind is Kind.ADD_COLUMN
        and (each.table, each.name) == (change.table, change.name)
        and each.columns[0].generated
        for listed in revision.changes.values()
        for each in listed
    )


def _archives(revision: Revision) -> Iterator[Problem]:
    for direction, other in (DIRECTIONS, DIRECTIONS[::-1]):
        restored = [(each.table, each.name) for each in revision.changes[other] if each.kind is Kind.RESTORE]
        for change in revision.changes[direction]:
            if change.kind is not Kind.ARCHIVE or (change.table, change.name) in restored or change.table is None:
                continue
            if any(table is None for table, _ in restored):
                continue
            verb = "column" if change.name else "table"
            given = shown(change.table) + (f", {shown(change.name)}" if change.name else "")
            archived = f"{change.table}.{change.name}" if change.name else change.table
            what = f"{direction}() archives {archived}, {other}() restores nothing of it"
            yield problem("MS205", change, what, f"op.restore_{verb}({given}) at the end of {other}()")
