"""Replacing a trigger or a policy: what is on a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import is_busy
from ..sql_text import literal, quoted
from .plain import undone
from .recreate import block, changed_by_hand

if TYPE_CHECKING:
    from .create_text import CreateText
    from .plain import PlainWork

_PROBE = "memstore_probe"

# Pretty: the parentheses in the other form tell a text from what the server once made of the same text.
_TRIGGER = """
    SELECT regexp_replace(
        pg_get_triggerdef(oid, true), '^(CREATE (CONSTRAINT )?TRIGGER) ("([^"]|"")+"|\\S+)', '\\1 {name}')
    FROM pg_trigger WHERE tgrelid = to_regclass(:table) AND tgname = :name AND NOT tgisinternal
"""
# CREATE OR REPLACE turns a trigger on again that was turned off.
_TRIGGER_AGAIN = """
    SELECT s FROM pg_trigger AS t CROSS JOIN LATERAL (
        SELECT format('COMMENT ON TRIGGER %I ON %s IS %L', tgname, {table}, obj_description(t.oid, 'pg_trigger'))
        WHERE obj_description(t.oid, 'pg_trigger') IS NOT NULL
        UNION ALL SELECT format('ALTER TABLE %s %s TRIGGER %I', {table}, CASE tgenabled WHEN 'D' THEN 'DISABLE'
            WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname) WHERE tgenabled <> 'O'
    ) AS each (s) WHERE tgrelid = {table}::regclass AND tgname = {name}
"""
_POLICY = """
    SELECT concat_ws(E'\\n', CASE WHEN polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END,
        'FOR ' || CASE polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                  ELSE 'DELETE' END,
        'TO ' || (
            SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY r)
            FROM unnest(polroles) AS r),
        'USING (' || pg_get_expr(polqual, polrelid, true) || ')',
        'WITH CHECK (' || pg_get_expr(polwithcheck, polrelid, true) || ')')
    FROM pg_policy WHERE polrelid = to_regclass(:table) AND polname = :name
"""
_POLICY_AGAIN = """
    SELECT format('COMMENT ON POLICY %I ON %s IS %L', polname, {table}, obj_description(oid, 'pg_policy'))
    FROM pg_policy WHERE polrelid = {table}::regclass AND polname = {name}
      AND obj_description(oid, 'pg_policy') IS NOT NULL
"""


def replace_on_table(work: PlainWork, after: CreateText, before: CreateText) -> None:
    """Replace a trigger or a policy by another of the same name."""
    if work.offline:
        work.execute(_replacement(after, before))
        return

    def attempt() -> None:
        found = found_on_table(work, before)
        needed = made_on_table(work, after, "after")
        if found == needed:
            work.report("there already")
            return
        needed = made_on_table(work, before, "before")
        if found != needed:
            raise changed_by_hand(f"{before.kind.lower()} {before.label} on {before.table_sql}", needed, found)
        work.execute(_replacement(after, before))

    work.briefly_within(attempt, table=before.table_sql, phase="replacing")


def found_on_table(work: PlainWork, text: CreateText, name: str | None = None) -> str | None:
    """Return what the server says of the trigger or policy of that name, None where there is none."""
    query = _POLICY if text.kind == "POLICY" else _TRIGGER.replace("{name}", literal(quoted(text.name))[1:-1])
    rows = work.execute(query, {"table": text.table_sql, "name": name or text.name})
    return str(rows[0][0]) if rows else None


def made_on_table(work: PlainWork, text: CreateText, role: str) -> str:
    """Return what the server says of the trigger or policy once it is made, which is taken back."""
    try:
        with undone(work.connection):
            work.execute(text.create(label=_PROBE))
            return str(found_on_table(work, text, _PROBE))
    except DBAPIError as error:
        if role == "after" or is_busy(error):
            raise
        raise MigrationError(
            f"{role} of {text.label} cannot be made in this database, so that nobody can tell whether it is what is "
            f"there: {error.orig}. Nothing was done"
        ) from error


def _replacement(after: CreateText, before: CreateText) -> str:
    again = _POLICY_AGAIN if after.kind == "POLICY" else _TRIGGER_AGAIN
    if after.kind == before.kind == "TRIGGER":
        body = f"EXECUTE {literal(after.create(replace=True))};"
    else:
        drop = f"DROP {before.kind.split()[-1]} {before.label} ON {before.table_sql}"
        body = f"EXECUTE {literal(drop)};\n    EXECUTE {literal(after.create())};"
    return block(body, again=again.format(table=literal(before.table_sql), name=literal(before.name)))
