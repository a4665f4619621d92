"""Replacing a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import sqlstate
from ..sql_text import literal, quoted_table
from .plain import undone
from .recreate import block, changed_by_hand, view_again, view_dependents
from .temporary import check_may_compare

if TYPE_CHECKING:
    from .create_text import CreateText
    from .plain import PlainWork

_NEEDS_DROP = "42P16"  # invalid_table_definition: a column is gone, or has another name or type

# The view of that name that is there, and one that was made to compare it with: described at one time, in one way.
# Pretty: the parentheses in the other form tell a text from what the server once made of the same text.
_DESCRIBE = """
    SELECT c.oid, CASE WHEN relkind = 'v' THEN '(' || (
        SELECT string_agg(
            format('%I %s%s', attname, format_type(atttypid, atttypmod),
                   CASE WHEN attcollation <> typcollation THEN ' COLLATE ' || attcollation::regcollation ELSE '' END),
            E',\\n' ORDER BY attnum
        ) FROM pg_attribute JOIN pg_type AS t ON t.oid = atttypid WHERE attrelid = c.oid AND attnum > 0
    ) || E')\\nWITH (' || coalesce((SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(reloptions) AS o), '')
      || E') AS\\n' || pg_get_viewdef(c.oid, true) END AS definition
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE relname = :name AND """
_THERE = _DESCRIBE + "n.nspname = coalesce(:schema, current_schema())"
_PROBED = _DESCRIBE + "n.oid = pg_my_temp_schema()"


def replace_view(work: PlainWork, after: CreateText, before: CreateText) -> None:
    """Replace a view by another of the same name."""
    if work.offline:
        work.execute(_replacement(after, literal(before.label) + "::regclass"))
        return
    check_may_compare(work)
    work.briefly_within(lambda: _replace(work, after, before), table=before.label, phase="replacing")


def _replace(work: PlainWork, after: CreateText, before: CreateText) -> None:
    what = f"view {before.label}"
    needed, found, _ = _compare(work, after, "after")
    if found is not None and needed == found:
        work.report("there already")
        return
    needed, found, oid = _compare(work, before, "before")
    if needed != found:
        raise changed_by_hand(what, needed, found)
    if not _fits(work, after):
        dependents = work.execute(view_dependents(str(oid)))[0][0]
        if dependents:
            raise MigrationError(
                f"{what} has to be dropped, since CREATE OR REPLACE only adds columns at the end, and on it are: "
                f"{dependents}. Nothing was done. Drop those before, in this revision, and make them again after"
            )
    work.execute(_replacement(after, str(oid)))


def _fits(work: PlainWork, after: CreateText) -> bool:
    try:
        with undone(work.connection):
            work.execute(after.create(replace=True))
    except DBAPIError as error:
        if sqlstate(error) != _NEEDS_DROP:
            raise
        return False
    return True


def _replacement(after: CreateText, oid: str) -> str:
    body = f"""BEGIN
        EXECUTE {literal(after.create(replace=True))};
        again := '{{}}';
    EXCEPTION WHEN invalid_table_definition THEN
        {{refuse}}
        EXECUTE {literal(f"DROP VIEW {after.label}")};
        EXECUTE {literal(after.create())};
    END;"""
    return block(body, again=view_again(oid, literal(after.label)), dependents=view_dependents(oid))


def _compare(work: PlainWork, text: CreateText, role: str) -> tuple[str, str | None, int | None]:
    """Return what the view is to be, what it is, and its oid."""
    try:
        with undone(work.connection):
            work.execute(text.create(label=quoted_table("pg_temp", text.name)))
            (probe,) = work.execute(_PROBED, {"name": text.name})
            there = work.execute(_THERE, {"name": text.name, "schema": text.schema})
    except DBAPIError as error:
        if role == "after":
            raise
        raise MigrationError(
            f"{role} of {text.label} cannot be made in this database, so that nobody can tell whether it is what is "
            f"there: {error.orig}. Nothing was done"
        ) from error
    if there and there[0].definition is None:
        raise MigrationError(f"{text.label} is not a view. Nothing was done")
    return str(probe.definition), *((there[0].definition, there[0].oid) if there else (None, None))
