"""Rules about data: what is lost, and what those who run the last release meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import Kind
from .problems import known, problem, shown
from .revision import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .changes import Change
    from .finding import Problem
    from .placed import Placed
    from .revision import Revision


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
        if known(placed) and not change.safe and not _archived(placed):
            yield problem("MS204", change, *emptied(change))


def emptied(change: Change) -> tuple[str, str]:
    """Return what is wrong with emptying a table, and what to type instead."""
    fix = f"op.archive_table({shown(change.table)}) before it; or DELETE ... WHERE, outside of migrations"
    return f"{change.kind.upper()} of every row of {change.table}", fix


def _drops(revision: Revision) -> Iterator[Problem]:
    level = revision.constant("level")
    if level == "irreversible":
        return
    for placed in revision.placed(Kind.DROP_TABLE, Kind.DROP_COLUMN, Kind.DROP_SCHEMA):
        change = placed.change
        # A way down without a level has promised nothing; a way up that drops has lost what no downgrade brings back.
        named = known(placed) or change.kind is Kind.DROP_SCHEMA
        if not named or (level is None and placed.direction == "downgrade"):
            continue
        # A column of expressions comes back by itself.
        if _archived(placed) or (change.kind is Kind.DROP_COLUMN and (change.table, change.name) in revision.computed):
            continue
        if change.kind is Kind.DROP_SCHEMA:
            schema = f"the schema {change.name or '?'} is dropped in {placed.direction}() with all that is in it"
            yield problem("MS201", change, schema, "op.archive_table(...) and op.drop_table for each, then DROP SCHEMA")
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
        each.table in (change.table, None) and each.name in (column, None) for each in placed.before(Kind.ARCHIVE)
    )


def _archives(revision: Revision) -> Iterator[Problem]:
    for direction, other in (DIRECTIONS, DIRECTIONS[::-1]):
        restored = {(each.table, each.name) for each in revision.changes[other] if each.kind is Kind.RESTORE}
        unknown = any(table is None for table, _ in restored)
        for change in revision.changes[direction]:
            if change.kind is not Kind.ARCHIVE or change.table is None:
                continue
            if unknown or (change.table, change.name) in restored:
                continue
            verb = "column" if change.name else "table"
            given = shown(change.table) + (f", {shown(change.name)}" if change.name else "")
            archived = f"{change.table}.{change.name}" if change.name else change.table
            what = f"{direction}() archives {archived}, {other}() restores nothing of it"
            yield problem("MS205", change, what, f"op.restore_{verb}({given}) at the end of {other}()")
