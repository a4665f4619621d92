"""What Alembic and this plugin propose for a table in use, in its safe form: each with the columns that it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from ..sql_text import literal, quoted, quoted_table
from .names import constraint_name
from .operations import CreateCheck, CreateIndex, DropCheck, DropIndex, ForeignKeyStatements
from .safe_operations import Call, Calls
from .sql import names_in

if TYPE_CHECKING:
    from alembic.operations import MigrateOperation

Column = tuple[str | None, str, str]
"""Schema as the operation has it, table, column."""

_FOREIGN_KEY = ("source_schema", "referent_schema", "ondelete", "onupdate", "deferrable", "initially", "match")
_UNIQUE = ("deferrable", "initially", "nulls_not_distinct")


class Turn(IntEnum):
    """When an operation comes among safe ones: a foreign key needs the UNIQUE that it refers to."""

    DROP_FOREIGN_KEY = 0
    DROP = 1
    SWAP = 2
    CREATE = 3
    CREATE_FOREIGN_KEY = 4

    @property
    def opposite(self) -> Turn:
        """When its reverse comes."""
        return Turn(Turn.CREATE_FOREIGN_KEY - self)


@dataclass(frozen=True, slots=True)
class Safe:
    """A safe operation, when it comes, and the columns that it needs.

    index: the one that it creates or drops.
    constraint: the one that it creates or drops: schema as the operation has it, table, name.
    is_key: whether a foreign key can refer to what it creates or drops.
    """

    calls: Calls
    turn: Turn
    columns: frozenset[Column]
    index: CreateIndex | None = None
    is_key: bool = False
    constraint: Column | None = None

    @property
    def is_drop(self) -> bool:
        """Whether it takes something away."""
        return self.turn < Turn.SWAP

    def reversed(self) -> Safe:
        """Return what undoes it."""
        return replace(self, calls=self.calls.reverse(), turn=self.turn.opposite)


def safe_form(operation: MigrateOperation) -> Safe | None:
    """Return the safe form of an operation, None where it has none and needs none."""
    match operation:
        case CreateIndex():
            return _index(operation)
        case DropIndex():
            return _index(operation.create).reversed()
        case CreateCheck():
            return None if operation.not_valid or operation.no_inherit else _check(operation)
        case DropCheck():
            # What a safe operation cannot bring back is dropped as it is created, in an instant.
            form = safe_form(operation.create)
            return form.reversed() if form is not None else None
        case ops.CreateForeignKeyOp():
            return _foreign_key(operation)
        case ops.CreateUniqueConstraintOp():
            return _unique(operation)
        case ops.DropConstraintOp(constraint_type="foreignkey" | "unique"):
            form = safe_form(operation.reverse())
            return form.reversed() if form is not None else None
        case ForeignKeyStatements(key=ops.CreateForeignKeyOp() as key):
            form = _foreign_key(key, operation.comment)
            return form.reversed() if operation.drops else form
    return None


def swap(drop: Safe, create: Safe) -> Safe:
    """Return what exchanges an index for another of its name."""
    if drop.index is None or create.index is None:
        raise TypeError("two indexes are needed")
    one, other = (Call("swap_index_concurrently", *_index_arguments(each)) for each in (create.index, drop.index))
    return Safe(Calls(one, other), Turn.SWAP, drop.columns | create.columns, create.index)


def not_null(table: str, column: str, schema: str | None) -> Safe:
    """Return what sets NOT NULL."""
    what = {"schema": schema}
    example = f"{table!r}, {{{column!r}: ...}}, where={f'{quoted(column)} IS NULL'!r}"
    example += f", schema={schema!r}" if schema else ""
    note = (
        "A row without a value stops this. Where there may be one, give it a value first:",
        f"op.backfill({example})",
    )
    calls = Calls(
        Call("set_not_null_safely", (table, column), what, note), Call("drop_not_null_safely", (table, column), what)
    )
    return Safe(calls, Turn.CREATE, frozenset({(schema, table, column)}))


def _index(create: CreateIndex) -> Safe:
    name, table, schema, definition = str(create.index_name), create.table_name, create.schema, create.definition
    texts = [key.expression for key in definition.keys] + list(definition.include)
    texts += [definition.predicate] if definition.predicate else []
    columns = {(schema, table, column) for each in texts for column in names_in(each)}
    arguments, options = _index_arguments(create)
    calls = Calls(
        Call("create_index_concurrently", arguments, options),
        Call("drop_index_concurrently", (name, table), {"schema": schema}),
    )
    return Safe(calls, Turn.CREATE, frozenset(columns), create, definition.unique)


def _index_arguments(create: CreateIndex) -> tuple[tuple[Any, ...], dict[str, Any]]:
    keys = [
        each if isinstance(each, str) else key for each, key in zip(create.columns, create.definition.keys, strict=True)
    ]
    options = {name.removeprefix("postgresql_"): value for name, value in create.options.items()}
    options.pop("concurrently", None)  # which is what the operation is for
    if "with" in options:
        options["with_"] = options.pop("with")
    others = {"where": create.definition.predicate, "comment": create.comment}
    arguments = (str(create.index_name), create.table_name, keys)
    return arguments, {"schema": create.schema, "unique": create.definition.unique, **options, **others}


def _check(create: CreateCheck) -> Safe:
    name, table, schema = str(create.constraint_name), create.table_name, create.schema
    columns = frozenset((schema, table, column) for column in names_in(create.expression))
    add = Call(
        "add_check_safely",
        (name, table, create.expression),
        {"schema": schema},
        statements=_comment(name, table, schema, create.comment),
    )
    return Safe(Calls(add, _drop(name, table, schema)), Turn.CREATE, columns, constraint=(schema, table, name))


def _foreign_key(create: ops.CreateForeignKeyOp, comment: str | None = None) -> Safe:
    options = {name: create.kw.get(name) for name in _FOREIGN_KEY}
    table, schema, referent = create.source_table, create.kw.get("source_schema"), create.referent_table
    name = str(create.constraint_name or constraint_name(table, create.local_cols, "fkey"))
    columns = {(schema, table, each) for each in create.local_cols}
    columns |= {(create.kw.get("referent_schema"), referent, each) for each in create.remote_cols}
    arguments = (name, table, referent, list(create.local_cols), list(create.remote_cols))
    add = Call("add_foreign_key_safely", arguments, options, statements=_comment(name, table, schema, comment))
    calls = Calls(add, _drop(name, table, schema))
    return Safe(calls, Turn.CREATE_FOREIGN_KEY, frozenset(columns), constraint=(schema, table, name))


def _unique(create: ops.CreateUniqueConstraintOp) -> Safe | None:
    given = {name.removeprefix("postgresql_"): value for name, value in create.kw.items() if value not in (None, [])}
    options = {name: given.pop(name, None) for name in _UNIQUE}
    if given:  # such as INCLUDE, which the safe form does not know
        return None
    table, schema, keys = create.table_name, create.schema, [str(each) for each in create.columns]
    name = str(create.constraint_name or constraint_name(table, keys, "key"))
    columns = frozenset((schema, table, each) for each in keys)
    add = Call("add_unique_safely", (name, table, keys), {"schema": schema, **options})
    calls = Calls(add, _drop(name, table, schema))
    return Safe(calls, Turn.CREATE, columns, is_key=True, constraint=(schema, table, name))


def _drop(name: str, table: str, schema: str | None) -> Call:
    return Call("drop_constraint_safely", (name, table), {"schema": schema})


def _comment(name: str, table: str, schema: str | None, comment: str | None) -> tuple[str, ...]:
    if comment is None:
        return ()
    return (f"COMMENT ON CONSTRAINT {quoted(name)} ON {quoted_table(schema, table)} IS {literal(comment)}",)
