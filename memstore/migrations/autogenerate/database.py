"""What a schema of the database has, of the things that Alembic does not read itself: a few queries a schema."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import text

from ...models.security import Policy
from .sql import IndexDefinition, parse_create_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Connection, Row

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DatabaseIndex:
    """An index that belongs to no constraint. `columns` are all that it uses, `opclasses` those of its keys."""

    name: str
    definition: IndexDefinition
    opclasses: tuple[str, ...]
    columns: frozenset[str]
    valid: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class DatabaseCheck:
    """A CHECK constraint. `definition` is what ADD CONSTRAINT takes to make it again."""

    name: str
    expression: str
    definition: str
    columns: frozenset[str]
    valid: bool
    no_inherit: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class DatabaseColumn:
    """A column: its type as the server writes it and, where it is generated, from what."""

    type: str
    expression: str | None
    stored: bool
    uses: frozenset[str]


@dataclass(frozen=True, slots=True)
class DatabasePolicy:
    """A policy, with the columns that it uses."""

    policy: Policy
    columns: frozenset[str]
    comment: str | None


@dataclass(slots=True)
class DatabaseTable:
    """What a table has."""

    indexes: dict[str, DatabaseIndex] = field(default_factory=dict)
    checks: dict[str, DatabaseCheck] = field(default_factory=dict)
    columns: dict[str, DatabaseColumn] = field(default_factory=dict)
    policies: dict[str, DatabasePolicy] = field(default_factory=dict)
    row_security: bool = False
    row_security_forced: bool = False


_read: WeakKeyDictionary[AutogenContext, dict[str, defaultdict[str, DatabaseTable]]] = WeakKeyDictionary()


def database_table(context: AutogenContext, schema: str | None, table: str) -> DatabaseTable:
    """Return what a table has. A schema is read when one of its tables is first asked for, once a run."""
    connection = context.connection
    if connection is None:
        raise ValueError("autogenerate needs a connection")
    name = schema or str(connection.dialect.default_schema_name)
    schemas = _read.setdefault(context, {})
    if name not in schemas:
        schemas[name] = _read_schema(connection, name)
    return schemas[name][table]


def _read_schema(connection: Connection, schema: str) -> defaultdict[str, DatabaseTable]:
    tables: defaultdict[str, DatabaseTable] = defaultdict(DatabaseTable)

    def each(query: str, make: Callable[[Row[Any]], _T], into: str) -> None:
        for row in connection.execute(text(query), {"schema": schema}):
            getattr(tables[row.table_name], into)[row.name] = make(row)

    each(_INDEXES, _index, "indexes")
    each(_CHECKS, _check, "checks")
    each(_COLUMNS, _column, "columns")
    each(_POLICIES, _policy, "policies")
    for row in connection.execute(text(_ROW_SECURITY), {"schema": schema}):
        table = tables[row.table_name]
        table.row_security, table.row_security_forced = row.enabled, row.forced
    return tables


def _index(row: Row[Any]) -> DatabaseIndex:
    definition = parse_create_index(row.definition)
    return DatabaseIndex(row.name, definition, tuple(row.opclasses), frozenset(row.columns), row.valid, row.comment)


def _check(row: Row[Any]) -> DatabaseCheck:
    return DatabaseCheck(
        row.name, row.expression, row.definition, frozenset(row.columns), row.valid, row.no_inherit, row.comment
    )


def _column(row: Row[Any]) -> DatabaseColumn:
    return DatabaseColumn(row.type, row.expression, row.stored, frozenset(row.columns))


def _policy(row: Row[Any]) -> DatabasePolicy:
    policy = Policy(row.name, row.using_, row.check_, row.command, tuple(row.roles), row.permissive)
    return DatabasePolicy(policy, frozenset(row.columns), row.comment)


def _columns_used_by(catalog: str, oid: str, table: str) -> str:
    return f"""
        ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend AS d
              JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {table} AND d.refobjsubid > 0)"""


_INDEXES = f"""
    SELECT t.relname::text AS table_name, i.relname::text AS name, pg_get_indexdef(x.indexrelid) AS definition,
           x.indisvalid AS valid, obj_description(x.indexrelid, 'pg_class') AS comment,
           ARRAY(SELECT o.opcname::text FROM unnest(x.indclass::oid[]) WITH ORDINALITY AS c(oid, place)
                 JOIN pg_opclass AS o ON o.oid = c.oid ORDER BY c.place) AS opclasses,
           {_columns_used_by("pg_class", "x.indexrelid", "x.indrelid")} AS columns
    FROM pg_index AS x
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema AND NOT i.relispartition
      AND NOT EXISTS (SELECT FROM pg_constraint AS c
                      WHERE c.conindid = x.indexrelid AND c.contype IN ('p', 'u', 'x'))
    ORDER BY t.relname, i.relname
"""

_CHECKS = """
    SELECT t.relname::text AS table_name, c.conname::text AS name, pg_get_expr(c.conbin, c.conrelid) AS expression,
           pg_get_constraintdef(c.oid) AS definition, c.convalidated AS valid, c.connoinherit AS no_inherit,
           obj_description(c.oid, 'pg_constraint') AS comment,
           ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                 WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)) AS columns
    FROM pg_constraint AS c
    JOIN pg_class AS t ON t.oid = c.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema AND c.contype = 'c' AND c.conislocal
    ORDER BY t.relname, c.conname
"""

_COLUMNS = f"""
    SELECT t.relname::text AS table_name, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
           CASE WHEN a.attgenerated <> '' THEN pg_get_expr(f.adbin, f.adrelid) END AS expression,
           a.attgenerated = 's' AS stored,
           {_columns_used_by("pg_attrdef", "f.oid", "t.oid")} AS columns
    FROM pg_attribute AS a
    JOIN pg_class AS t ON t.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    WHERE n.nspname = :schema AND t.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY t.relname, a.attnum
"""

_POLICIES = f"""
    SELECT t.relname::text AS table_name, p.polname::text AS name, p.polpermissive AS permissive,
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                         ELSE 'ALL' END AS command,
           ARRAY(SELECT CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r)::text END
                 FROM unnest(p.polroles) AS r ORDER BY 1) AS roles,
           pg_get_expr(p.polqual, p.polrelid) AS using_, pg_get_expr(p.polwithcheck, p.polrelid) AS check_,
           obj_description(p.oid, 'pg_policy') AS comment,
           {_columns_used_by("pg_policy", "p.oid", "p.polrelid")} AS columns
    FROM pg_policy AS p
    JOIN pg_class AS t ON t.oid = p.polrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema
    ORDER BY t.relname, p.polname
"""

_ROW_SECURITY = """
    SELECT t.relname::text AS table_name, t.relrowsecurity AS enabled, t.relforcerowsecurity AS forced
    FROM pg_class AS t JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema AND t.relkind IN ('r', 'p') AND (t.relrowsecurity OR t.relforcerowsecurity)
"""
