"""What is in the way of a column that changes, on whichever table it is: policies and foreign keys.

The server drops no column, and changes no type, that a policy uses, nor a column that a foreign key refers to. So these
are dropped before everything else, and made again after it.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from alembic.operations import ops
from sqlalchemy import text

from ...models.security import declared_row_level_security
from ..sql_text import literal, quoted, quoted_table
from .comparison import qualified
from .database import POLICIES, read_policy
from .operations import ForeignKeyStatements, RunStatements
from .row_security import create_policy, drop_policy

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, UpgradeOps
    from sqlalchemy import Connection, Row

    from ...models.security import Policy
    from .comparison import Comparison
    from .database import Place

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Changes:
    """What one run changes: columns rebuilt, of another type, dropped, and whole tables dropped."""

    rebuilt: set[Place] = field(default_factory=set)
    retyped: set[Place] = field(default_factory=set)
    leaving: set[Place] = field(default_factory=set)
    tables: set[tuple[str, str]] = field(default_factory=set)

    def takes(self, place: Place) -> bool:
        """Tell whether a table or a column is there no more afterwards."""
        return place in self.leaving or place[:2] in self.tables


_changes: WeakKeyDictionary[AutogenContext, _Changes] = WeakKeyDictionary()


def note_changes(table: Comparison) -> None:
    """Remember which columns of a table change."""
    changes = _changes.setdefault(table.context, _Changes())
    changes.rebuilt |= {(*table.key, column) for column in table.rebuilt}
    changes.retyped |= {(*table.key, column) for column in table.retyped}
    changes.leaving |= {(*table.key, column) for column in table.leaving}
    if table.model is None:
        changes.tables.add(table.key)


def make_way(
    context: AutogenContext, upgrade: UpgradeOps, early: list[MigrateOperation]
) -> tuple[list[MigrateOperation], list[MigrateOperation]]:
    """Return what has to go before everything else, and to come after it; `early` is what goes anyway.

    Foreign keys that Alembic itself drops or adds are taken out of their tables where they are among them.
    """
    changes, connection = _changes.pop(context, _Changes()), context.connection
    if connection is None:
        raise ValueError("autogenerate needs a connection")
    first, last = _foreign_keys(context, connection, upgrade, changes) if changes.rebuilt else ([], [])
    if changes.rebuilt or changes.retyped or changes.leaving or changes.tables:
        gone = {each.change[1:] for each in early if isinstance(each, RunStatements)}
        _policies(context, connection, changes, gone, first, last)
    return first, last


def _policies(
    context: AutogenContext,
    connection: Connection,
    changes: _Changes,
    gone: set[tuple[str, ...]],
    first: list[MigrateOperation],
    last: list[MigrateOperation],
) -> None:
    declared = _declared(context)
    for row in connection.execute(text(POLICIES), {"schema": None}):
        found, name = read_policy(row), row.name
        schema = None if row.schema_name == qualified(context, None) else row.schema_name
        if (schema or "", row.table_name, name) in gone or (row.schema_name, row.table_name, name) in gone:
            continue
        taken = any(map(changes.takes, found.uses))
        if not taken and found.uses.isdisjoint(changes.rebuilt | changes.retyped):
            continue
        first.append(drop_policy(schema, row.table_name, found))
        policy = declared.get((row.schema_name, row.table_name, name), None if taken else found.policy)
        if policy is None:
            _log.warning("Policy %r on %r is dropped with what it uses", name, row.table_name)
        else:
            last.append(create_policy(schema, row.table_name, policy, found.comment))


def _declared(context: AutogenContext) -> dict[tuple[str, str, str], Policy]:
    found = {}
    for table in context.sorted_tables:
        for policy in getattr(declared_row_level_security(table), "policies", ()):
            found[qualified(context, table.schema), table.name, policy.name] = policy
    return found


def _foreign_keys(
    context: AutogenContext, connection: Connection, upgrade: UpgradeOps, changes: _Changes
) -> tuple[list[MigrateOperation], list[MigrateOperation]]:
    first: list[MigrateOperation] = []
    last: list[MigrateOperation] = []
    rows = {
        (row.schema_name, row.table_name, row.name): row
        for row in connection.execute(text(_FOREIGN_KEYS))
        if any((schema, table, column) in changes.rebuilt for schema, table, column in row.uses)
    }
    tables = {place[:2] for place in changes.rebuilt}
    for modify in (each for each in upgrade.ops if isinstance(each, ops.ModifyTableOps)):
        kept: list[MigrateOperation] = []
        for each in modify.ops:
            key = (qualified(context, modify.schema), modify.table_name)
            if isinstance(each, ops.DropConstraintOp) and (*key, str(each.constraint_name)) in rows:
                del rows[(*key, str(each.constraint_name))]
                first.append(each)
            elif isinstance(each, ops.CreateForeignKeyOp) and _refers_to(context, each, tables):
                last.append(each)
            else:
                kept.append(each)
        modify.ops = kept
    for (schema, table, name), row in rows.items():
        if (schema, table) not in changes.tables:  # such a table goes before, with its keys
            drop = _drop_foreign_key(None if schema == qualified(context, None) else schema, table, name, row)
            first.append(drop)
            last.insert(0, drop.reverse())
    return first, last


def _refers_to(context: AutogenContext, operation: ops.CreateForeignKeyOp, tables: set[tuple[str, str]]) -> bool:
    return (qualified(context, operation.kw.get("referent_schema")), operation.referent_table) in tables


def _drop_foreign_key(schema: str | None, table: str, name: str, row: Row[Any]) -> ForeignKeyStatements:
    sql_name, where = quoted_table(schema, table), (schema or "", table, name)
    again = [f"ALTER TABLE {sql_name} ADD CONSTRAINT {quoted(name)} {row.definition}"]
    if row.comment is not None:
        again.append(f"COMMENT ON CONSTRAINT {quoted(name)} ON {sql_name} IS {literal(row.comment)}")
    drop = f"ALTER TABLE {sql_name} DROP CONSTRAINT {quoted(name)}"
    statements = RunStatements(("remove_fk", *where), [drop], ("add_fk", *where), again, place="first")
    key = None if _is_not_checked(row) else _create_foreign_key(schema, table, name, row)
    return ForeignKeyStatements(statements, key, row.comment, drops=True)


def _is_not_checked(row: Row[Any]) -> bool:
    return re.search(r"\) .*\bNOT (VALID|ENFORCED)$", row.definition) is not None


def _create_foreign_key(schema: str | None, table: str, name: str, row: Row[Any]) -> ops.CreateForeignKeyOp:
    ondelete = _ACTIONS[row.on_delete]
    if row.set_columns:
        ondelete = f"{ondelete} ({', '.join(quoted(each) for each in row.set_columns)})"
    return ops.CreateForeignKeyOp(
        name,
        table,
        row.referent,
        row.local_columns,
        row.remote_columns,
        source_schema=schema,
        referent_schema=row.referent_schema if schema or row.referent_schema != row.default_schema else None,
        ondelete=ondelete,
        onupdate=_ACTIONS[row.on_update],
        deferrable=row.deferrable or None,
        initially="DEFERRED" if row.deferred else None,
        match="FULL" if row.match_kind == "f" else None,
    )


_ACTIONS = {"a": None, "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _columns(table: str, numbers: str) -> str:
    return f"""
        ARRAY(SELECT a.attname::text FROM unnest({numbers}) WITH ORDINALITY AS k(number, place)
              JOIN pg_attribute AS a ON a.attrelid = {table} AND a.attnum = k.number ORDER BY k.place)"""


_FOREIGN_KEYS = f"""
    SELECT n.nspname::text AS schema_name, t.relname::text AS table_name, c.conname::text AS name,
           pg_get_constraintdef(c.oid) AS definition, obj_description(c.oid, 'pg_constraint') AS comment,
           rn.nspname::text AS referent_schema, r.relname::text AS referent, current_schema()::text AS default_schema,
           c.confdeltype::text AS on_delete, c.confupdtype::text AS on_update, c.confmatchtype::text AS match_kind,
           c.condeferrable AS deferrable, c.condeferred AS deferred,
           {_columns("c.conrelid", "c.conkey")} AS local_columns,
           {_columns("c.confrelid", "c.confkey")} AS remote_columns,
           {_columns("c.conrelid", "c.confdelsetcols")} AS set_columns,
           ARRAY(SELECT ARRAY[un.nspname::text, u.relname::text, a.attname::text]
                 FROM pg_attribute AS a
                 JOIN pg_class AS u ON u.oid = a.attrelid
                 JOIN pg_namespace AS un ON un.oid = u.relnamespace
                 WHERE (a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))
                    OR (a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey))) AS uses
    FROM pg_constraint AS c
    JOIN pg_class AS t ON t.oid = c.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    JOIN pg_class AS r ON r.oid = c.confrelid
    JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
    WHERE c.contype = 'f' AND c.conparentid = 0
    ORDER BY n.nspname, t.relname, c.conname
"""
