"""What autogenerate proposes, as operations that know their way back and write themselves into a revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from alembic.autogenerate import renderers
from alembic.operations import MigrateOperation, Operations, ops
from sqlalchemy import literal_column, text
from sqlalchemy.sql.elements import conv

from ..sql_text import escaped, literal, quoted, quoted_table
from .internals import in_batch, prefixes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext

    from .sql import IndexDefinition

Change = tuple[str, ...]
Place = Literal["first", "there", "last"]

_OPPOSITE: dict[Place, Place] = {"first": "last", "there": "there", "last": "first"}


class CreateIndex(ops.CreateIndexOp):
    """CREATE INDEX in full: method, operator classes, parameters, predicate, comment."""

    def __init__(
        self,
        name: str,
        table: str,
        schema: str | None,
        definition: IndexDefinition,
        comment: str | None = None,
        **others: Any,
    ) -> None:
        self.definition = definition
        self.comment = comment
        self.others = others
        columns: list[Any] = []
        opclasses: dict[str, str] = {}
        for key in definition.keys:
            plain = _plain_column(key.expression)
            if plain is None or key.sql != " ".join(filter(None, (key.expression, key.opclass))):
                columns.append(literal_column(key.sql))  # SQLAlchemy prints this one as it stands
                continue
            columns.append(plain)
            if key.opclass:
                opclasses[plain] = key.opclass
        self.options: dict[str, Any] = {"postgresql_using": definition.method} if definition.method != "btree" else {}
        if opclasses:
            self.options["postgresql_ops"] = opclasses
        if definition.include:
            self.options["postgresql_include"] = [_plain_column(each) or each for each in definition.include]
        if definition.nulls_not_distinct:
            self.options["postgresql_nulls_not_distinct"] = True
        if definition.parameters:
            self.options["postgresql_with"] = dict(definition.parameters)
        self.options |= others
        where: dict[str, Any] = {}
        if definition.predicate is not None:
            where["postgresql_where"] = text(escaped(definition.predicate))
        super().__init__(conv(name), table, columns, schema=schema, unique=definition.unique, **self.options, **where)

    def reverse(self) -> DropIndex:
        return DropIndex.of(self)

    def in_transaction(self) -> CreateIndex:
        """Return the same without CONCURRENTLY, for a table that is made in the same transaction."""
        others = {name: value for name, value in self.others.items() if name != "postgresql_concurrently"}
        return CreateIndex(str(self.index_name), self.table_name, self.schema, self.definition, self.comment, **others)


class DropIndex(ops.DropIndexOp):
    """DROP INDEX that makes the very same index on the way back."""

    create: CreateIndex

    @classmethod
    def of(cls, create: CreateIndex) -> DropIndex:
        """Return what drops the index that `create` makes."""
        operation = cls.from_index(create.to_index())
        if not isinstance(operation, DropIndex):
            raise TypeError(f"Alembic made a {type(operation).__name__} of an index, a DropIndex is needed")
        operation.create = create
        return operation

    def reverse(self) -> CreateIndex:
        return self.create


class CreateCheck(ops.CreateCheckConstraintOp):
    """ADD CONSTRAINT ... CHECK, with its comment."""

    def __init__(
        self,
        name: str,
        table: str,
        schema: str | None,
        expression: str,
        *,
        not_valid: bool = False,
        no_inherit: bool = False,
        comment: str | None = None,
    ) -> None:
        self.expression = expression
        self.not_valid = not_valid
        self.no_inherit = no_inherit
        self.comment = comment
        options = {"postgresql_not_valid": True} if not_valid else {}
        super().__init__(conv(name), table, text(escaped(expression)), schema=schema, **options)

    def reverse(self) -> DropCheck:
        return DropCheck.of(self)


class DropCheck(ops.DropConstraintOp):
    """DROP CONSTRAINT that makes the very same CHECK on the way back."""

    create: CreateCheck

    @classmethod
    def of(cls, create: CreateCheck) -> DropCheck:
        """Return what drops the CHECK that `create` makes."""
        operation = cls.from_constraint(create.to_constraint())
        if not isinstance(operation, DropCheck):
            raise TypeError(f"Alembic made a {type(operation).__name__} of a CHECK, a DropCheck is needed")
        operation.create = create
        return operation

    def reverse(self) -> CreateCheck:
        return self.create


class RunStatements(MigrateOperation):
    """Statements that Alembic has no operation for, and those that undo them.

    `change` says what they do, for people and for `alembic check`: `("add_policy", schema, table, name)`. `place` is
    before everything else in their revision, after it, or among what happens to their table.
    """

    def __init__(
        self, change: Change, up: Sequence[str], undo: Change, down: Sequence[str], *, place: Place = "last"
    ) -> None:
        self.change = change
        self.up = tuple(up)
        self.undo = undo
        self.down = tuple(down)
        self.place = place

    def reverse(self) -> RunStatements:
        return RunStatements(self.undo, self.down, self.change, self.up, place=_OPPOSITE[self.place])

    def to_diff_tuple(self) -> Change:
        return self.change


class ForeignKeyStatements(RunStatements):
    """A foreign key that goes or comes as the server says it. `key` says the same, None where that is not validated."""

    def __init__(
        self, statements: RunStatements, key: ops.CreateForeignKeyOp | None, comment: str | None, *, drops: bool
    ) -> None:
        super().__init__(statements.change, statements.up, statements.undo, statements.down, place=statements.place)
        self.key = key
        self.comment = comment
        self.drops = drops

    def reverse(self) -> ForeignKeyStatements:
        return ForeignKeyStatements(super().reverse(), self.key, self.comment, drops=not self.drops)


def register() -> None:
    """Tell Alembic how the operations are written into a revision, and how they are run. Done once."""
    renderers.dispatch_for(CreateIndex)(_render_create_index)
    renderers.dispatch_for(DropIndex)(_render_drop_index)
    renderers.dispatch_for(CreateCheck)(_render_create_check)
    for each in (RunStatements, ForeignKeyStatements):
        renderers.dispatch_for(each)(_render_statements)
        Operations.implementation_for(each)(_run_statements)


def _render_create_index(context: AutogenContext, operation: CreateIndex) -> list[str]:
    op, sa = prefixes(context)
    columns = [each if isinstance(each, str) else None for each in operation.columns]
    keys = [
        f"{sa}literal_column({key.sql!r})" if column is None else repr(column)
        for column, key in zip(columns, operation.definition.keys, strict=True)
    ]
    arguments = [f"{op}f({str(operation.index_name)!r})"]
    if not in_batch(context):
        arguments.append(repr(operation.table_name))
    arguments += [f"[{', '.join(keys)}]", f"unique={operation.unique!r}"]
    if operation.schema and not in_batch(context):
        arguments.append(f"schema={operation.schema!r}")
    arguments += [f"{name}={value!r}" for name, value in operation.options.items()]
    if operation.definition.predicate is not None:
        arguments.append(f"postgresql_where={sa}text({escaped(operation.definition.predicate)!r})")
    lines = [f"{op}create_index({', '.join(arguments)})"]
    if operation.comment is not None and not in_batch(context):
        index = quoted_table(operation.schema, str(operation.index_name))
        lines += _executes(context, [f"COMMENT ON INDEX {index} IS {literal(operation.comment)}"])
    return lines


def _render_drop_index(context: AutogenContext, operation: DropIndex) -> str:
    op, _ = prefixes(context)
    arguments = [f"{op}f({str(operation.index_name)!r})"]
    if not in_batch(context):
        arguments.append(f"table_name={operation.table_name!r}")
        if operation.schema:
            arguments.append(f"schema={operation.schema!r}")
    return f"{op}drop_index({', '.join(arguments)})"


def _render_create_check(context: AutogenContext, operation: CreateCheck) -> list[str]:
    op, _ = prefixes(context)
    name = str(operation.constraint_name)
    table = quoted_table(operation.schema, operation.table_name)
    if operation.no_inherit:  # which Alembic has no argument for
        suffix = " NO INHERIT" + (" NOT VALID" if operation.not_valid else "")
        added = f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} CHECK ({operation.expression}){suffix}"
        lines = _executes(context, [added])
    else:
        arguments = [f"{op}f({name!r})"]
        if not in_batch(context):
            arguments.append(repr(operation.table_name))
        arguments.append(repr(escaped(operation.expression)))
        if operation.schema and not in_batch(context):
            arguments.append(f"schema={operation.schema!r}")
        if operation.not_valid:
            arguments.append("postgresql_not_valid=True")
        lines = [f"{op}create_check_constraint({', '.join(arguments)})"]
    if operation.comment is not None and not in_batch(context):
        comment = literal(operation.comment)
        lines += _executes(context, [f"COMMENT ON CONSTRAINT {quoted(name)} ON {table} IS {comment}"])
    return lines


def _render_statements(context: AutogenContext, operation: RunStatements) -> list[str]:
    return _executes(context, operation.up)


def _executes(context: AutogenContext, statements: Sequence[str]) -> list[str]:
    op, _ = prefixes(context)
    return [f"{op}execute({escaped(statement)!r})" for statement in statements]


def _run_statements(operations: Operations, operation: RunStatements) -> None:
    for statement in operation.up:
        operations.execute(text(escaped(statement)))


def _plain_column(expression: str) -> str | None:
    """Return the name of the column that a key is, None where it is an expression."""
    if expression.startswith('"') and expression.endswith('"'):
        name = expression[1:-1].replace('""', '"')
        return name if quoted(name) == expression else None
    return expression if expression.replace("_", "").replace("$", "").isalnum() else None
