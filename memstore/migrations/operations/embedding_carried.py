"""The indexes and checks of a column of embeddings, as they are to be on the column of another width."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from ..sql_text import literal, quoted
from .embedding_column import Carried, refusal
from .temporary import rolled_back

if TYPE_CHECKING:
    from .embedding_column import WidthChange
    from .work import Work

_PROBE = "memstore_probe"
_INDEXES = """
    SELECT c.relname::text AS name, pg_get_indexdef(c.oid) AS definition, obj_description(c.oid, 'pg_class') AS comment
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass(:table) AND c.relname <> :todo AND i.indisvalid
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
      AND EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = i.indexrelid
                  AND refclassid = 'pg_class'::regclass AND refobjid = i.indrelid AND refobjsubid = :attnum)
    ORDER BY 1
"""
_CHECKS = """
    SELECT conname::text AS name, pg_get_constraintdef(oid) AS definition,
           obj_description(oid, 'pg_constraint') AS comment
    FROM pg_constraint
    WHERE conrelid = to_regclass(:table) AND contype = 'c' AND conkey = ARRAY[CAST(:attnum AS smallint)] ORDER BY 1
"""
_EXPRESSION = """
    SELECT pg_get_expr(conbin, conrelid) AS expression FROM pg_constraint
    WHERE conrelid = '{probe}'::regclass AND conname = {name}
"""


def carried(
    work: Work, change: WidthChange, attnum: int, before: int, full_type: str
) -> tuple[list[Carried], list[Carried]]:
    """Return the indexes and checks of the column as they are on one of the new width, found to be possible.

    They are made on an empty temporary table, whose column is renamed: so the server itself rewrites them.

    Raises:
        MigrationError: an index, a check or the type does not take the new width; or this role may make no temporary
            tables.
    """
    parameters = {"table": change.table_sql, "attnum": attnum}
    indexes = work.execute(_INDEXES, {**parameters, "todo": change.todo})
    checks = work.execute(_CHECKS, parameters)
    probe, old, new = f"pg_temp.{_PROBE}", quoted(change.column), quoted(change.new)
    try:
        with rolled_back(work):
            work.execute(f"CREATE TEMPORARY TABLE {_PROBE} (LIKE {change.table_sql})")
            work.execute(f"ALTER TABLE {probe} DROP COLUMN IF EXISTS {new}")
            work.execute(f"ALTER TABLE {probe} ADD COLUMN {new} {full_type}")
            work.execute(f"ALTER TABLE {probe} DROP COLUMN {new}")
            for number, index in enumerate(indexes):
                work.execute(f"CREATE INDEX {_PROBE}_{number} ON {probe}{_after_table(index.definition)}")
            for number, check in enumerate(checks):
                work.execute(f"ALTER TABLE {probe} ADD CONSTRAINT {_PROBE}_{number} {check.definition}")
            work.execute(f"ALTER TABLE {probe} RENAME COLUMN {old} TO {new}")
            new_indexes, new_checks = [], []
            for number, index in enumerate(indexes):
                text = work.execute(f"SELECT pg_get_indexdef('pg_temp.{_PROBE}_{number}'::regclass)")[0][0]
                is_unique = index.definition.startswith("CREATE UNIQUE")
                new_indexes.append(
                    Carried(index.name, _widened(_after_table(text), before, change.width), is_unique, index.comment)
                )
            for number, check in enumerate(checks):
                text = work.execute(
                    f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{probe}'::regclass "
                    f"AND conname = '{_PROBE}_{number}'"
                )[0][0]
                new_checks.append(Carried(check.name, _widened(text, before, change.width), False, check.comment))
            work.execute(f"ALTER TABLE {probe} DROP COLUMN {new}")
            work.execute(f"ALTER TABLE {probe} ADD COLUMN {new} {full_type}")
            for each in new_indexes:
                work.execute(f"CREATE INDEX ON {probe}{each.definition}")
            for each in new_checks:
                work.execute(f"ALTER TABLE {probe} ADD CONSTRAINT {quoted(each.name)} {each.definition}")
            for each in new_checks:
                _check_takes(work, change, each, full_type)
    except DBAPIError as error:
        if work.connection.invalidated:
            raise
        raise refusal(
            work,
            f"what the column has does not take {full_type}: {str(error.orig).splitlines()[0]}",
            "Drop or exchange that in a revision before this one. HNSW and IVFFlat take 2,000 dimensions of vector "
            "and 4,000 of halfvec",
        ) from error
    return new_indexes, new_checks


def _check_takes(work: Work, change: WidthChange, check: Carried, full_type: str) -> None:
    """Refuse a check that depends on the width: one that takes none of a few embeddings of the new one."""
    row = work.execute(_EXPRESSION.format(probe=f"pg_temp.{_PROBE}", name=literal(check.name)))[0]
    values = ", ".join(literal(each) for each in _some_vectors(change.width))
    takes = work.execute(
        f"SELECT bool_or(coalesce({row.expression}, true)) FROM ("
        f"SELECT CAST(memstore_value AS {full_type}) AS {quoted(change.new)} "
        f"FROM unnest(ARRAY[{values}]) AS memstore_value) AS memstore_values"
    )[0][0]
    if not takes:
        raise refusal(
            work,
            f"the check {check.name}, {check.definition}, takes no {full_type}",
            f"In a revision before this one: op.drop_constraint_safely({check.name!r}, {change.table!r}, "
            f"schema={change.schema!r}), and in one after: op.add_check_safely(...) for the new width",
        )


def _some_vectors(width: int) -> tuple[str, ...]:
    values = ([1.0] + [0.0] * (width - 1), [0.5] + [0.0] * (width - 1), [width**-0.5] * width)
    return tuple(f"[{','.join(map(str, each))}]" for each in values)


def _after_table(definition: str) -> str:
    return " USING " + definition.partition(" USING ")[2]


def _widened(definition: str, before: int, after: int) -> str:
    return re.sub(rf"\b(vector|halfvec|bit)\({before}\)", rf"\g<1>({after})", definition)
