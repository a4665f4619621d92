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

Place = tuple[str, str, str]
"""Schema, table and column; no column where it is the table itself."""


@dataclass(frozen=True, slots=True)
class DatabaseIndex:
    """An index that belongs to no constraint. `columns` are all that it uses, `opclasses` those of its keys."""

    name: str
    definition: IndexDefinition
    opclasses: tuple[str, ...]
    columns: frozenset[str]
    valid: bool
    inherited: bool
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
    inherited: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class DatabaseConstraint:
    """A constraint of any kind, as pg_constraint has it: `columns` are those of its own table that it uses.

    options: those of its index, as ALTER INDEX takes them.
    """

    kind: str
    definition: str
    columns: frozenset[str]
    inherited: bool
    index: str | None
    options: str | None
    index_comment: str | None
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
    """A policy, with what it uses of this and of other tables."""

    policy: Policy
    uses: frozenset[Place]
    comment: str | None


@dataclass(slots=True)
class DatabaseTable:
    """What a table has. `constraints` are all of them, the CHECKs too."""

    indexes: dict[str, DatabaseIndex] = field(default_factory=dict)
    checks: dict[str, DatabaseCheck] = field(default_factory=dict)
    constraints: dict[str, DatabaseConstraint] = field(default_factory=dict)
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
    each(_CONSTRAINTS, _constraint, "constraints")
    each(_COLUMNS, _column, "columns")
    each(POLICIES, read_policy, "policies")
    for row in connection.execute(text(_ROW_SECURITY), {"schema": schema}):
        table = tables[row.table_name]
        table.row_security, table.row_security_forced = row.enabled, row.forced
    return tables


def _index(row: Row[Any]) -> DatabaseIndex:
    definition = parse_create_index(row.definition)
    opclasses = tuple(row.opclasses)
    return DatabaseIndex(row.name, definition, opclasses, frozenset(row.columns), row.valid, row.inherited, row.comment)


def _check(row: Row[Any]) -> DatabaseCheck:
    return DatabaseCheck(
        row.name,
        row.expression,
        row.definition,
        frozenset(row.columns),
        row.valid,
        row.no_inherit,
        row.inherited,
        row.comment,
    )


def _constraint(row: Row[Any]) -> DatabaseConstraint:
    return DatabaseConstraint(
        row.kind,
        row.definition,
        frozenset(row.columns),
        row.inherited,
        row.index_name,
        row.options,
        row.index_comment,
        row.comment,
    )


def _column(row: Row[Any]) -> DatabaseColumn:
    return DatabaseColumn(row.type, row.expression, row.stored, frozenset(row.columns))


def read_policy(row: Row[Any]) -> DatabasePolicy:
    """Return the policy that a row of POLICIES describes."""
    policy = Policy(row.name, row.using_, row.check_, row.command, tuple(row.roles), row.permissive)
    uses = frozenset((schema, table, column) for schema, table, column in row.uses)
    return DatabasePolicy(policy, uses, row.comment)


def _columns_used_by(catalog: str, oid: str, table: str) -> str:
    return f"""
        ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend AS d
              JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {table} AND d.refobjsubid > 0)"""


_INDEXES = f"""
    SELECT t.relname::text AS table_name, i.relname::text AS name, pg_get_indexdef(x.indexrelid) AS definition,
           x.indisvalid AS valid, i.relispartition AS inherited, obj_description(x.indexrelid, 'pg_class') AS comment,
           ARRAY(SELECT o.opcname::text FROM unnest(x.indclass::oid[]) WITH ORDINALITY AS c(oid, place)
                 JOIN pg_opclass AS o ON o.oid = c.oid ORDER BY c.place) AS opclasses,
           {_columns_used_by("pg_class", "x.indexrelid", "x.indrelid")} AS columns
    FROM pg_index AS x
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema
      AND NOT EXISTS (SELECT FROM pg_constraint AS c
                      WHERE c.conindid = x.indexrelid AND c.contype IN ('p', 'u', 'x'))
    ORDER BY t.relname, i.relname
"""

_CHECKS = """
    SELECT t.relname::text AS table_name, c.conname::text AS name, pg_get_expr(c.conbin, c.conrelid) AS expression,
           pg_get_constraintdef(c.oid) AS definition, c.convalidated AS valid, c.connoinherit AS no_inherit,
           c.coninhcount > 0 AS inherited,
           obj_description(c.oid, 'pg_constraint') AS comment,
           ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                 WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)) AS columns
    FROM pg_constraint AS c
    JOIN pg_class AS t ON t.oid = c.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema AND c.contype = 'c'
    ORDER BY t.relname, c.conname
"""

_CONSTRAINTS = f"""
    SELECT t.relname::text AS table_name, c.conname::text AS name, c.contype::text AS kind,
           pg_get_constraintdef(c.oid) AS definition, c.coninhcount > 0 AS inherited,
           {_columns_used_by("pg_constraint", "c.oid", "c.conrelid")}
           || {_columns_used_by("pg_class", "c.conindid", "c.conrelid")} AS columns,
           i.relname::text AS index_name, array_to_string(i.reloptions, ', ') AS options,
           obj_description(i.oid, 'pg_class') AS index_comment, obj_description(c.oid, 'pg_constraint') AS comment
    FROM pg_constraint AS c
    JOIN pg_class AS t ON t.oid = c.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    LEFT JOIN pg_class AS i ON i.oid = c.conindid AND c.contype IN ('p', 'u', 'x')
    WHERE n.nspname = :schema
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

# Of one schema or, where `schema` is NULL, of all of them.
POLICIES = """
    SELECT n.nspname::text AS schema_name, t.relname::text AS table_name, p.polname::text AS name,
           p.polpermissive AS permissive,
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                         ELSE 'ALL' END AS command,
           ARRAY(SELECT CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r)::text END
                 FROM unnest(p.polroles) AS r ORDER BY 1) AS roles,
           pg_get_expr(p.polqual, p.polrelid) AS using_, pg_get_expr(p.polwithcheck, p.polrelid) AS check_,
           obj_description(p.oid, 'pg_policy') AS comment,
           ARRAY(SELECT DISTINCT ARRAY[un.nspname::text, u.relname::text, coalesce(a.attname::text, '')]
                 FROM pg_depend AS d
                 JOIN pg_class AS u ON u.oid = d.refobjid
                 JOIN pg_namespace AS un ON un.oid = u.relnamespace
                 LEFT JOIN pg_attribute AS a
                   ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
                 WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
                   AND d.refclassid = 'pg_class'::regclass) AS uses
    FROM pg_policy AS p
    JOIN pg_class AS t ON t.oid = p.polrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE CAST(:schema AS text) IS NULL OR n.nspname = CAST(:schema AS text)
    ORDER BY n.nspname, t.relname, p.polname
"""

_ROW_SECURITY = """
    SELECT t.relname::text AS table_name, t.relrowsecurity AS enabled, t.relforcerowsecurity AS forced
    FROM pg_class AS t JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema AND t.relkind IN ('r', 'p') AND (t.relrowsecurity OR t.relforcerowsecurity)
"""
