"""Replacing a function or a procedure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import sqlstate
from ..sql_text import literal, quoted_table
from .plain import undone
from .recreate import block, changed_by_hand, routine_again, routine_dependents
from .temporary import check_may_compare

if TYPE_CHECKING:
    from sqlalchemy import Row

    from .create_text import CreateText
    from .plain import PlainWork

_NEEDS_DROP = ("42P13", "42809")  # invalid_function_definition, wrong_object_type

_IN = """
    SELECT p.oid, p.proargtypes::text AS arguments, pg_get_function_identity_arguments(p.oid) AS signature,
           CASE prokind WHEN 'a' THEN 'an aggregate'
           ELSE substr(d.definition, strpos(d.definition, d.label) + length(d.label)) END AS definition
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (
        SELECT CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
               '.' || quote_ident(p.proname)
    ) AS d (definition, label)
    WHERE p.proname = :name AND {schema}
"""
_PROBED = _IN.format(schema="n.oid = pg_my_temp_schema()")
_THERE = _IN.format(schema="n.nspname = coalesce(:schema, current_schema())")


@dataclass(frozen=True, slots=True)
class Routine:
    """A function as the server describes it.

    arguments: the types that tell it from others of its name.
    signature: its arguments as DROP and GRANT take them.
    definition: all that CREATE FUNCTION says of it, but for its name.
    """

    oid: int
    arguments: str
    signature: str
    definition: str


def replace_routine(work: PlainWork, after: CreateText, before: CreateText) -> None:
    """Replace a function by another of the same name."""
    if work.offline:
        work.execute(_rendered(after, before))
        return
    check_may_compare(work)
    needed = _probe(work, after, "after", checked=True)
    there = _there(work, after)
    replaced = _probe(work, before, "before", checked=False)
    found, already = there.get(replaced.arguments), there.get(needed.arguments)
    is_same_call = replaced.arguments == needed.arguments
    if already is not None and already.definition == needed.definition and (is_same_call or found is None):
        work.report("there already")
        return
    what = f"{before.kind.lower()} {before.label}({replaced.signature})"
    if found is None or found.definition != replaced.definition:
        raise changed_by_hand(what, f"{what}{replaced.definition}", f"{what}{found.definition}" if found else None)
    if already is not None and not is_same_call:
        raise MigrationError(
            f"there is {after.kind.lower()} {after.label}({needed.signature}) already, beside {what}, which it is to "
            "replace. Nothing was done. Drop the one that is not wanted, and run it again"
        )
    if is_same_call:
        try:
            with work.connection.begin_nested():
                work.execute(after.create(replace=True))
        except DBAPIError as error:
            if sqlstate(error) not in _NEEDS_DROP:
                raise
        else:
            return
    _recreate(work, after, found, f"{after.label}({needed.signature})", what)


def _recreate(work: PlainWork, after: CreateText, found: Routine, signature: str, what: str) -> None:
    dependents = work.execute(routine_dependents(str(found.oid)))[0][0]
    if dependents:
        raise MigrationError(
            f"{what} has to be dropped, since CREATE OR REPLACE takes no other arguments or result, and it is used "
            f"by: {dependents}. Nothing was done. Give the new one another name, let those use it, and drop the old one"
        )
    drop = f"DROP ROUTINE {quoted_table(after.schema, after.name)}({found.signature})"
    work.execute(_recreation(after, str(found.oid), signature, drop))


def _recreation(after: CreateText, oid: str, signature: str, drop: str) -> str:
    body = f"{{refuse}}\n    EXECUTE {literal(drop)};\n    EXECUTE {literal(after.create())};"
    return block(body, again=routine_again(oid, literal(signature)), dependents=routine_dependents(oid))


def _rendered(after: CreateText, before: CreateText) -> str:
    """Return the replacement for a database that cannot be asked: the texts say whether the function is dropped."""
    if (after.kind, after.arguments, after.result) == (before.kind, before.arguments, before.result):
        return after.create(replace=True)
    schema = literal(before.schema) if before.schema else "current_schema()"
    oid = (
        f"(SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
        f"WHERE p.proname = {literal(before.name)} AND n.nspname = {schema})"
    )
    drop, kept = (f"{each.label}({', '.join(each.arguments)})" for each in (before, after))
    return _recreation(after, oid, kept, f"DROP ROUTINE {drop}")


def _probe(work: PlainWork, text: CreateText, role: str, *, checked: bool) -> Routine:
    try:
        with undone(work.connection):
            if not checked:  # what its body names may be on its way out
                work.execute("SET LOCAL check_function_bodies = off")
            work.execute(text.create(label=quoted_table("pg_temp", text.name)))
            (row,) = work.execute(_PROBED, {"name": text.name})
            return _routine(row)
    except DBAPIError as error:
        if checked:
            raise
        raise MigrationError(
            f"{role} of {text.label} cannot be made in this database, so that nobody can tell whether it is what is "
            f"there: {error.orig}. Nothing was done"
        ) from error


def _there(work: PlainWork, text: CreateText) -> dict[str, Routine]:
    rows = work.execute(_THERE, {"name": text.name, "schema": text.schema})
    return {row.arguments: _routine(row) for row in rows}


def _routine(row: Row[Any]) -> Routine:
    return Routine(row.oid, row.arguments, row.signature, row.definition)
