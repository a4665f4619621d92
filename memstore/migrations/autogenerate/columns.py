"""Columns that come, change and go on a table in use, and which tables are."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Column, Enum, text

from .internals import compiled, created_here, final_name, type_bound
from .operations import CreateCheck, CreateIndex, DropIndex, ForeignKeyStatements
from .safe_forms import Safe, not_null, safe_form
from .safe_operations import Call, Calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from alembic.operations import MigrateOperation
    from alembic.operations.ops import UpgradeOps
    from sqlalchemy import Connection, Table
    from sqlalchemy.types import TypeEngine

TableKey = tuple[str, str]
ColumnKey = tuple[str, str, str]

# The server builds no index on them concurrently, takes none for a constraint, and before 18 no NOT VALID foreign key.
_PARTITIONED = text("""
    SELECT n.nspname::text, t.relname::text FROM pg_class AS t JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE t.relkind = 'p'
""")


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one run by schema and name: those that it makes and drops, and those that are partitioned.

    left, met: tables that a foreign key of a dropped one, or of a new one, refers to.
    """

    default_schema: str
    made: frozenset[TableKey]
    dropped: frozenset[TableKey]
    left: frozenset[TableKey]
    met: frozenset[TableKey]
    partitioned: frozenset[TableKey]

    @classmethod
    def of(cls, upgrade: UpgradeOps, connection: Connection) -> Tables:
        """Return the tables that a comparison is about."""
        default = str(connection.dialect.default_schema_name)
        made = [each for each in upgrade.ops if isinstance(each, ops.CreateTableOp)]
        dropped = [each for each in upgrade.ops if isinstance(each, ops.DropTableOp)]
        return cls(
            default,
            frozenset((each.schema or default, each.table_name) for each in made),
            frozenset((each.schema or default, each.table_name) for each in dropped),
            frozenset(key for each in dropped for key in _referred_to(each.to_table(), default)),
            frozenset(key for each in made for key in _referred_to(each.to_table(), default)),
            frozenset((row[0], row[1]) for row in connection.execute(_PARTITIONED)),
        )

    def is_in_use(self, operation: MigrateOperation) -> bool:
        """Tell whether an operation is on a table that was there before the run, and is there after it."""
        key = self._table(operation)
        return key is not None and key not in self.made and key not in self.dropped

    def allows_no_safe_form(self, operation: MigrateOperation) -> bool:
        """Tell whether an operation has to be plain, since its table is partitioned."""
        indexes = CreateIndex | DropIndex | ops.CreateUniqueConstraintOp | ops.CreateForeignKeyOp | ForeignKeyStatements
        constraint = isinstance(operation, ops.DropConstraintOp) and operation.constraint_type != "check"
        return (constraint or isinstance(operation, indexes)) and self._table(operation) in self.partitioned

    def changed_by(self, operation: MigrateOperation) -> Iterator[ColumnKey]:
        """Yield the column that a plain operation adds, changes or drops."""
        if isinstance(operation, ops.AddColumnOp):
            yield operation.schema or self.default_schema, operation.table_name, operation.column.name
        elif isinstance(operation, ops.AlterColumnOp | ops.DropColumnOp):
            yield operation.schema or self.default_schema, operation.table_name, operation.column_name

    def columns(self, step: Safe) -> frozenset[ColumnKey]:
        """Return the columns that a safe operation needs."""
        return frozenset((schema or self.default_schema, table, column) for schema, table, column in step.columns)

    def are_new(self, columns: Iterable[ColumnKey]) -> bool:
        """Tell whether one of the columns is in a new table."""
        return any(column[:2] in self.made for column in columns)

    def are_gone(self, columns: Iterable[ColumnKey]) -> bool:
        """Tell whether one of the columns is in a dropped table."""
        return any(column[:2] in self.dropped for column in columns)

    def are_left(self, columns: Iterable[ColumnKey]) -> bool:
        """Tell whether a dropped table refers to a table of the columns."""
        return any(column[:2] in self.left for column in columns)

    def are_met(self, columns: Iterable[ColumnKey]) -> bool:
        """Tell whether a new table refers to a table of the columns."""
        return any(column[:2] in self.met for column in columns)

    def archived(self, operation: MigrateOperation) -> Iterator[MigrateOperation]:
        """Yield an operation, with what keeps the rows of a table that is dropped, in either direction."""
        if isinstance(operation, ops.CreateTableOp):
            yield operation
            yield _archive("table", operation.schema, operation.table_name).reverse()
        elif isinstance(operation, ops.DropTableOp):
            yield _archive("table", operation.schema, operation.table_name)
            yield operation
        else:
            yield operation

    def _table(self, operation: MigrateOperation) -> TableKey | None:
        if isinstance(operation, ops.CreateForeignKeyOp):
            return operation.kw.get("source_schema") or self.default_schema, operation.source_table
        if isinstance(operation, ForeignKeyStatements):
            return operation.change[1] or self.default_schema, operation.change[2]
        if isinstance(operation, ops.CreateTableOp | ops.DropTableOp):
            return None
        table: str | None = getattr(operation, "table_name", None)
        return (getattr(operation, "schema", None) or self.default_schema, table) if table is not None else None


def added_column(operation: ops.AddColumnOp, *, archive: bool) -> Iterator[MigrateOperation | Safe]:
    """Yield what adds a column to a table in use: NOT NULL and CHECKs come once its rows can hold them."""
    column, schema, table = operation.column, operation.schema, operation.table_name
    checks = _checks_of_type(column)
    required = not column.nullable and column.server_default is None and not column.primary_key
    if required or checks:
        column = _bare(column, nullable=required or bool(column.nullable), checked=not checks)
    yield ops.AddColumnOp.from_column_and_tablename(schema, table, column)
    if archive and column.computed is None:
        yield _archive("column", schema, table, column.name).reverse()
    if required:
        yield not_null(table, column.name, schema)
    for name, check in checks.items():
        form = safe_form(CreateCheck(name, table, schema, compiled(check.sqltext)))
        if form is not None:
            yield form


def altered_column(operation: ops.AlterColumnOp) -> Iterator[MigrateOperation | Safe]:
    """Yield what changes a column: NOT NULL apart, set after the rest and dropped before it."""
    nullable = operation.modify_nullable
    if nullable is None:
        yield operation
        return
    rest = copy(operation)
    rest.modify_nullable, rest.existing_nullable = None, True
    if rest.has_changes():
        yield rest
    form = not_null(operation.table_name, operation.column_name, operation.schema)
    yield form.reversed() if nullable else form


def _archive(what: str, schema: str | None, *names: str) -> Calls:
    options = {"schema": schema}
    return Calls(Call(f"archive_{what}", names, options), Call(f"restore_{what}", names, options))


def _checks_of_type(column: Column[Any]) -> dict[str, CheckConstraint]:
    """Return the named CHECKs that the type of a column would bring along, unvalidated rows or not."""
    if type(column.type) is not Enum or column.table is None:
        return {}
    checks = (each for each in column.table.constraints if isinstance(each, CheckConstraint))
    own = [each for each in checks if type_bound(each) and column.name in each.columns and created_here(each)]
    return {name: each for each in own if (name := final_name(each)) is not None}


def _bare(column: Column[Any], *, nullable: bool, checked: bool) -> Column[Any]:
    type_: TypeEngine[Any] = column.type
    if isinstance(type_, Enum) and not checked:
        type_ = Enum(*type_.enums, name=type_.name, native_enum=False, length=type_.length)
    return Column(
        column.name,
        type_,
        server_default=column.server_default,
        nullable=nullable,
        comment=column.comment,
        info=dict(column.info),
    )


def _referred_to(table: Table, default_schema: str) -> Iterator[TableKey]:
    for key in table.foreign_keys:
        schema, _, name = key.target_fullname.rpartition(".")[0].rpartition(".")
        yield schema or default_schema, name
