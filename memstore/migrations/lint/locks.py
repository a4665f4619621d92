"""Rules about locks: what stops those who use the database, and what a killed run could not be run again after."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .changes import HARMLESS, Change, Column, ColumnType, Kind
from .problems import known, problem, shown
from .volatility import volatile_function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Problem
    from .revision import Revision

_CONSTRAINTS = {
    Kind.FOREIGN_KEY: ("MS105", "a foreign key", "op.add_foreign_key_safely({name}, {table}, ...)"),
    Kind.CHECK: ("MS106", "a CHECK", "op.add_check_safely({name}, {table}, ...)"),
    Kind.UNIQUE: ("MS107", "a unique constraint", "op.add_unique_safely({name}, {table}, [...])"),
    Kind.PRIMARY_KEY: (
        "MS107",
        "a primary key",
        "op.create_index_concurrently({name}, {table}, [...], unique=True), and in the next revision "
        "ALTER TABLE ... ADD CONSTRAINT ... PRIMARY KEY USING INDEX ...",
    ),
    Kind.EXCLUDE: (
        "MS107",
        "an exclusion constraint",
        "a new table with the constraint, and op.backfill; PostgreSQL builds none concurrently",
    ),
}
_MAINTENANCE = {
    Kind.REINDEX: "op.swap_index_concurrently(...) with the index as it is",
    Kind.CLUSTER: "nothing: run pg_repack outside of migrations",
    Kind.VACUUM: "nothing: leave it to autovacuum, or run VACUUM outside of migrations",
    Kind.REFRESH: "REFRESH MATERIALIZED VIEW CONCURRENTLY, outside of migrations",
    Kind.SET_TABLESPACE: "nothing: move it outside of migrations, when nobody uses it",
    Kind.SET_LOGGED: "nothing: rewrite it outside of migrations, when nobody uses it",
    Kind.LOCK: "nothing: safe operations take the locks they need, with a limit to the wait",
}


def locks(revision: Revision) -> Iterator[Problem]:
    """Yield what stops others for long, or cannot be run again."""
    yield from _indexes(revision)
    yield from _constraints(revision)
    yield from _columns(revision)
    yield from _order(revision)
    for placed in revision.placed(*_MAINTENANCE):
        change = placed.change
        full = change.kind is not Kind.VACUUM or re.match(r"VACUUM\b.*\bFULL\b", change.sql, re.IGNORECASE)
        if full and not change.safe and not placed.table_is_new:
            how = "until its transaction ends" if change.kind is Kind.LOCK else "for as long as it takes"
            what = f"{change.kind.upper()} of {change.name or 'everything'} locks it {how}"
            yield problem("MS111", change, what, _MAINTENANCE[change.kind])
    for placed in revision.placed(Kind.UPDATE):
        change = placed.change
        if known(placed) and not change.safe:
            yield problem("MS114", change, *updated(change))


def updated(change: Change) -> tuple[str, str]:
    """Return what is wrong with updating a whole table, and what to type instead."""
    fix = f"op.backfill({shown(change.table)}, {{...}}, where=...), in a revision of its own"
    return f"UPDATE of every row of {change.table} in one transaction", fix


def _indexes(revision: Revision) -> Iterator[Problem]:
    for placed in revision.placed(Kind.CONCURRENTLY):
        change = placed.change
        verb = "drop" if placed.previous is not None and placed.previous.kind is Kind.DROP_INDEX else "create"
        what = f"CONCURRENTLY without the helper: a run that fails leaves {change.name or 'the index'} INVALID"
        yield problem("MS101", change, what, f"op.{verb}_index_concurrently({shown(change.name)}, ...)")
    for placed in revision.placed(Kind.CREATE_INDEX):
        change = placed.change
        if known(placed) and not change.safe:
            fix = f"op.create_index_concurrently({shown(change.name)}, {shown(change.table)}, [...])"
            what = f"index {change.name or '(unnamed)'} on {change.table}, which is there already, stops its writers"
            yield problem("MS102", change, what, fix)
    for placed in revision.placed(Kind.DROP_INDEX):
        change = placed.change
        if change.safe or change.name is None:
            continue
        table = revision.table_of_index(change)
        if table is None:  # it may be of any that comes or goes
            goes = any(placed.before(Kind.CREATE_TABLE)) or any(placed.after(Kind.DROP_TABLE))
        else:
            goes = placed.made_before(table) or placed.dropped_after(table)
        if not goes and not placed.dropped_after(None):
            fix = f"op.drop_index_concurrently({shown(change.name)}, {shown(table)})"
            yield problem(
                "MS103", change, f"DROP INDEX {change.name} locks out everybody on {table or 'its table'}", fix
            )


def _constraints(revision: Revision) -> Iterator[Problem]:
    for placed in revision.placed(*_CONSTRAINTS):
        change = placed.change
        if known(placed) and not change.safe:
            code, what, fix = _CONSTRAINTS[change.kind]
            typed = fix.format(name=shown(change.name), table=shown(change.table))
            yield problem(
                code, change, f"{what} on {change.table}, which is there already, is checked under a lock", typed
            )
    for placed in revision.placed(Kind.SET_NOT_NULL):
        change = placed.change
        if known(placed):
            fix = f"op.set_not_null_safely({shown(change.table)}, {shown(change.name)})"
            yield problem("MS104", change, f"NOT NULL on {change.table}.{change.name}, which is there already", fix)


def _columns(revision: Revision) -> Iterator[Problem]:
    for placed in revision.placed(Kind.ADD_COLUMN):
        change, column = placed.change, placed.change.columns[0]
        if not known(placed):
            continue
        where = f"{change.table}.{change.name or '?'}"
        if why := _rewrites(column):
            fix = (
                f"op.add_column({shown(change.table)}, sa.Column({shown(change.name)}, ...)) without it, then "
                "op.alter_column with the server_default, and in the next revision op.backfill"
            )
            yield problem("MS109", change, f"{where} has {why}: the table is rewritten", fix)
        elif column.not_null and column.default is None:
            fix = f"a server_default; or nullable, op.backfill, and op.set_not_null_safely({shown(change.table)}, ...)"
            yield problem("MS113", change, f"{where} is NOT NULL and has no default: a table with rows refuses it", fix)
    for placed in revision.placed(Kind.SET_TYPE):
        change, kind = placed.change, placed.change.columns[0].type
        if not known(placed) or kind is None or kind.is_vector or _is_null(change) or _kept(change.old_type, kind):
            continue
        fix = f"a new column of type {kind}, op.backfill, and readers moved before the old one goes"
        yield problem("MS110", change, f"{change.table}.{change.name} becomes {kind}: the table is rewritten", fix)


def _rewrites(column: Column) -> str | None:
    if column.identity:
        return "an identity"
    if column.generated:
        return "a stored expression"
    if function := volatile_function(column.default or ""):
        return f"the default {column.default}, whose {function}() is volatile as far as is known"
    return None


def _is_null(change: Change) -> bool:
    return bool(re.match(r"\s*\(?\s*NULL\b", change.using or "", re.IGNORECASE))


def _kept(old: ColumnType | None, new: ColumnType) -> bool:
    """Tell whether a type takes the place of another without a rewrite."""
    if old is None:
        return False
    if old.name in ("varchar", "text") and (new.name == "text" or (new.name == "varchar" and not new.numbers)):
        return True
    if old.name == new.name == "varchar":
        return bool(old.numbers) and old.numbers <= new.numbers
    if old.name == new.name == "numeric":
        return not new.numbers or (
            bool(old.numbers) and old.numbers[0] <= new.numbers[0] and old.numbers[1:] == new.numbers[1:]
        )
    return old == new


def _order(revision: Revision) -> Iterator[Problem]:
    for listed in revision.changes.values():
        earlier = None
        for change in listed:
            if change.kind in (Kind.SAFE, Kind.AUTOCOMMIT) and earlier is not None:
                what = f"{earlier.sql[:60]} (line {earlier.line}) comes before {change.name}, which commits"
                yield problem("MS108", change, what, f"{change.name} first, or in a revision of its own")
                break  # the same again for each safe operation after it
            # What an autocommit block did is written to be run again, or told by another rule.
            if _is_plain(change) and not change.autocommit:
                earlier = change
    for placed in revision.placed(Kind.SET_LOCAL):
        if placed.change.autocommit or any(placed.after(Kind.SAFE, Kind.AUTOCOMMIT)):
            what = "SET LOCAL is gone where the revision commits: in an autocommit block, and after a safe operation"
            fix = "SET, and RESET after; safe operations have settings of their own: leave it out"
            yield problem("MS112", placed.change, what, fix)


def _is_plain(change: Change) -> bool:
    # A safe operation is told twice: as itself, and as the index that it builds.
    return change.kind not in HARMLESS and not (change.kind is Kind.CREATE_INDEX and change.safe)
