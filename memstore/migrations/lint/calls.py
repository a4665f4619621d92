"""What a call of an operation does to the schema."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..autogenerate.sql import IndexDefinition, Key, parse_key
from .changes import Change, Column, Kind
from .columns import column_of, type_of
from .statements import changes_of
from .values import HOLE, UNKNOWN, Construct, known_text, sql_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .walk import OpCall

# Each with the place of its table among its arguments.
_SAFE = {
    "create_index_concurrently": 1,
    "drop_index_concurrently": 1,
    "swap_index_concurrently": 1,
    "set_not_null_safely": 0,
    "drop_not_null_safely": 0,
    "add_foreign_key_safely": 1,
    "add_check_safely": 1,
    "add_unique_safely": 1,
    "drop_constraint_safely": 1,
    "backfill": 0,
    "change_embedding_width": 0,
}
# What those work on, but for indexes, which have a name without their table, and for rows, which have none.
_OBJECTS = {
    "add_foreign_key_safely": "constraint",
    "add_check_safely": "constraint",
    "add_unique_safely": "constraint",
    "drop_constraint_safely": "constraint",
    "set_not_null_safely": "NOT NULL of",
    "drop_not_null_safely": "NOT NULL of",
    "change_embedding_width": "width of",
}
_NAMED_FIRST = frozenset(
    {
        "create_check_constraint",
        "create_exclude_constraint",
        "create_foreign_key",
        "create_index",
        "create_primary_key",
        "create_unique_constraint",
        "drop_constraint",
        "drop_index",
    }
)
_CONSTRAINTS = {
    "create_unique_constraint": Kind.UNIQUE,
    "create_check_constraint": Kind.CHECK,
    "create_primary_key": Kind.PRIMARY_KEY,
    "create_exclude_constraint": Kind.EXCLUDE,
    "create_foreign_key": Kind.FOREIGN_KEY,
}


def changes_by(call: OpCall) -> Iterator[Change]:
    """Yield what a call does, each with the lines that it stands on."""
    if call.name.startswith("batch."):
        call = _unbatched(call)
    make = _MAKERS.get(call.name, _other)
    for change in make(call):
        sql = change.sql or f"op.{call.name}"
        yield replace(
            change, sql=sql, line=call.line, end=call.end, first=call.first, around=call.around,
            autocommit=call.autocommit,
        )  # fmt: skip


def _unbatched(call: OpCall) -> OpCall:
    name = call.name.removeprefix("batch.")
    table, *rest = call.args
    kwargs = dict(call.kwargs)
    if name == "create_foreign_key":
        kwargs["source_schema"] = kwargs.pop("schema", None)
    if name not in _NAMED_FIRST:
        return replace(call, name=name, args=(table, *rest), kwargs=kwargs)
    first = rest[0] if rest else kwargs.get("constraint_name", kwargs.get("index_name", UNKNOWN))
    return replace(call, name=name, args=(first, table, *rest[1:]), kwargs=kwargs)


def _table(call: OpCall, place: int, *names: str, schema: str = "schema") -> str | None:
    table = known_text(call.argument(place, *names))
    where = call.argument(None, schema)
    if table is None or not (where is None or known_text(where)):
        return None
    space = known_text(where)
    return table if space in (None, "public") else f"{space}.{table}"


def _other(_: OpCall) -> Iterator[Change]:
    yield Change(Kind.OTHER)


def _execute(call: OpCall) -> Iterator[Change]:
    statement = call.argument(0, "sqltext", "statement")
    if isinstance(statement, Construct) and statement.name in ("update", "delete"):
        table = statement.args[0] if statement.args else UNKNOWN
        limited = "where" in statement.kwargs
        yield Change(Kind.UPDATE if statement.name == "update" else Kind.DELETE, table=_named(table), safe=limited)
        return
    sql = sql_text(statement)
    yield from changes_of(sql) if sql is not None else [Change(Kind.OTHER)]


def _named(table: Any) -> str | None:
    """Return the name of what sa.table or sa.Table made."""
    if not isinstance(table, Construct) or table.name not in ("table", "Table") or not table.args:
        return None
    name, where = known_text(table.args[0]), table.kwargs.get("schema")
    if name is None or not (where is None or known_text(where)):
        return None
    return name if known_text(where) in (None, "public") else f"{known_text(where)}.{name}"


def _create_table(call: OpCall) -> Iterator[Change]:
    columns = tuple(column_of(each) for each in call.args[1:] if isinstance(each, Construct) and each.name == "Column")
    yield Change(Kind.CREATE_TABLE, table=_table(call, 0, "table_name"), columns=columns)


def _on_table(kind: Kind) -> Callable[[OpCall], Iterator[Change]]:
    def make(call: OpCall) -> Iterator[Change]:
        name = known_text(call.argument(1, "column_name", "new_table_name", "column"))
        yield Change(kind, table=_table(call, 0, "table_name", "old_table_name", "table"), name=name)

    return make


def _add_column(call: OpCall) -> Iterator[Change]:
    table = _table(call, 0, "table_name")
    given = call.argument(1, "column")
    column = column_of(given) if isinstance(given, Construct) and given.name == "Column" else Column("")
    yield Change(Kind.ADD_COLUMN, table=table, name=column.name or None, columns=(column,))
    if column.foreign_key:
        # With a default PostgreSQL looks at the rows all the same.
        inline = call.argument(None, "inline_references") is True and column.default is None
        yield Change(Kind.FOREIGN_KEY, table=table, safe=inline)
    if column.unique:
        yield Change(Kind.UNIQUE, table=table)
    if column.index:
        yield Change(Kind.CREATE_INDEX, table=table)


def _alter_column(call: OpCall) -> Iterator[Change]:
    table, name = _table(call, 0, "table_name"), known_text(call.argument(1, "column_name"))
    using = sql_text(call.argument(None, "postgresql_using"))
    changed = False
    if (given := call.argument(None, "type_")) is not None:
        changed = True
        old = call.argument(None, "existing_type")
        column = Column(name or "", type_of(given))
        yield Change(
            Kind.SET_TYPE, table=table, name=name, columns=(column,), using=using, old_type=type_of(old)
        )  # fmt: skip
    if call.argument(None, "nullable") is False:
        changed = True
        yield Change(Kind.SET_NOT_NULL, table=table, name=name)
    if call.argument(None, "new_column_name") is not None:
        changed = True
        yield Change(Kind.RENAME_COLUMN, table=table, name=name)
    if not changed:
        yield Change(Kind.OTHER, table=table, name=name)


def _create_index(call: OpCall) -> Iterator[Change]:
    table, name = _table(call, 1, "table_name", "table"), known_text(call.argument(0, "index_name", "name"))
    concurrently = call.argument(None, "postgresql_concurrently") is True
    safe = concurrently or call.name.endswith("_concurrently")
    yield Change(Kind.CREATE_INDEX, table=table, name=name, index=_index(call), safe=safe)
    if concurrently and not call.name.endswith("_concurrently"):
        yield Change(Kind.CONCURRENTLY, table=table, name=name)


def _index(call: OpCall) -> IndexDefinition:
    ops = call.argument(None, "ops", "postgresql_ops")
    named = {key: value for key, value in ops.items() if isinstance(value, str)} if isinstance(ops, dict) else {}
    keys = []
    columns = call.argument(2, "columns")
    for each in columns if isinstance(columns, list | tuple) else ():
        if isinstance(each, str) and HOLE not in each:
            keys.append(Key(each, named.pop(each, None)))
        elif (sql := known_text(each)) is not None:
            key = parse_key(sql)
            keys.append(replace(key, opclass=key.opclass or (named.popitem()[1] if named else None)))
    using = known_text(call.argument(None, "using", "postgresql_using"))
    return IndexDefinition(
        unique=call.argument(None, "unique") is True,
        method=(using or ("btree" if call.argument(None, "using", "postgresql_using") is None else "?")).lower(),
        keys=tuple(keys),
        include=(),
        nulls_not_distinct=False,
        parameters=(),
        predicate=None,
    )


def _drop_index(call: OpCall) -> Iterator[Change]:
    concurrently = call.argument(None, "postgresql_concurrently") is True
    name = known_text(call.argument(0, "index_name"))
    yield Change(Kind.DROP_INDEX, table=_table(call, 1, "table_name"), name=name, safe=concurrently)
    if concurrently:
        yield Change(Kind.CONCURRENTLY, name=name)


def _constraint(call: OpCall) -> Iterator[Change]:
    foreign = call.name == "create_foreign_key"
    table = _table(call, 1, "table_name", "source_table", schema="source_schema" if foreign else "schema")
    safe = call.argument(None, "postgresql_not_valid") is True
    yield Change(_CONSTRAINTS[call.name], table=table, name=known_text(call.argument(0, "constraint_name")), safe=safe)


def _safely(call: OpCall) -> Iterator[Change]:
    schema = "source_schema" if call.name == "add_foreign_key_safely" else "schema"
    table = _table(call, _SAFE[call.name], "table", "table_name", "source", schema=schema)
    yield Change(Kind.SAFE, table=table, name=f"op.{call.name}", objects=tuple(_objects(call, table)))
    if call.name in ("create_index_concurrently", "swap_index_concurrently"):
        yield from _create_index(call)


def _objects(call: OpCall, table: str | None) -> Iterator[str]:
    """Yield what a safe operation makes, changes or takes away, as far as it has a name."""
    # An index is in the schema of its table; a unique constraint has one of its name.
    indexed = call.name.endswith("_index_concurrently") or call.name == "add_unique_safely"
    if indexed and (name := _table(call, 0, "name")):
        yield f"index {name}"
    if table is None:
        return
    if what := _OBJECTS.get(call.name):
        place = 0 if what == "constraint" else 1
        if name := known_text(call.argument(place, "name", "column")):
            yield f"{what} {table}.{name}"


def _isolation(call: OpCall) -> Iterator[Change]:
    table = known_text(call.argument(0, "table"))
    schema = call.argument(None, "schema")
    where = "memstore" if schema is None else known_text(schema)
    yield Change(Kind.POLICY, table=None if table is None or where is None else f"{where}.{table}", name=table)


def _autocommit(_: OpCall) -> Iterator[Change]:
    yield Change(Kind.AUTOCOMMIT, name="the autocommit block")


_MAKERS: dict[str, Callable[[OpCall], Iterator[Change]]] = {
    "add_column": _add_column,
    "alter_column": _alter_column,
    "archive_column": _on_table(Kind.ARCHIVE),
    "archive_table": _on_table(Kind.ARCHIVE),
    "autocommit_block": _autocommit,
    "create_index": _create_index,
    "create_table": _create_table,
    "drop_column": _on_table(Kind.DROP_COLUMN),
    "drop_index": _drop_index,
    "drop_table": _on_table(Kind.DROP_TABLE),
    "enable_tenant_isolation": _isolation,
    "execute": _execute,
    "rename_table": _on_table(Kind.RENAME_TABLE),
    "restore_column": _on_table(Kind.RESTORE),
    "restore_table": _on_table(Kind.RESTORE),
    **dict.fromkeys(_CONSTRAINTS, _constraint),
    **dict.fromkeys(_SAFE, _safely),
}
