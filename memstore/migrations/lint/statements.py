"""What a statement of SQL does to the schema."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..autogenerate.sql import closing, parse_create_index, split_list
from .changes import Change, Column, ColumnType, Kind, parse_type, plain_name
from .tokens import statements
from .values import HOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PART = rf'(?:"(?:[^"]|"")*"|[\w$@{HOLE}]+)'
_NAME = rf"({_PART}(?:\.{_PART})*)"
_MAYBE = r"(?:IF (?:NOT )?EXISTS )?"
_AGAIN = {"GENERATED", "CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "REFERENCES", "NOT", "NULL", "DEFAULT", "COLLATE"}
_CONSTRAINTS = {
    "FOREIGN KEY": Kind.FOREIGN_KEY,
    "CHECK": Kind.CHECK,
    "UNIQUE": Kind.UNIQUE,
    "PRIMARY KEY": Kind.PRIMARY_KEY,
    "EXCLUDE": Kind.EXCLUDE,
}


def changes_of(sql: str) -> list[Change]:
    """Return what the statements of a text do; `OTHER` for what is not looked into."""
    found: list[Change] = []
    listed = statements(sql)
    if len(listed) > 1:
        found.append(Change(Kind.SEVERAL, name=str(len(listed)), sql=listed[0]))
    for statement in listed:
        found.extend(_changes(statement))
    return found


def _changes(statement: str) -> Iterator[Change]:
    for pattern, make in _STATEMENTS:
        match = re.match(pattern, statement, re.IGNORECASE | re.DOTALL)
        if match:
            yield from make(match, statement)
            return
    yield Change(Kind.OTHER, sql=statement)


def _name(sql: str | None) -> str | None:
    return plain_name(sql) if sql and HOLE not in sql else None


def _simply(kind: Kind) -> Callable[[re.Match[str], str], Iterator[Change]]:
    def make(match: re.Match[str], statement: str) -> Iterator[Change]:
        table = _name(match[1]) if match.re.groups else None
        yield Change(kind, table=table, name=table, sql=statement)

    return make


def _create_table(match: re.Match[str], statement: str) -> Iterator[Change]:
    columns = []
    if re.match(r"\s*\(", statement[match.end() :]):
        start = statement.index("(", match.end())
        for part in split_list(statement[start + 1 : closing(statement, start) - 1]):
            if not re.match(r"(CONSTRAINT|CHECK|UNIQUE|PRIMARY KEY|FOREIGN KEY|EXCLUDE|LIKE)\b", part, re.IGNORECASE):
                columns.append(_column(part))
    yield Change(Kind.CREATE_TABLE, table=_name(match[1]), columns=tuple(columns), sql=statement)


def _create_index(match: re.Match[str], statement: str) -> Iterator[Change]:
    concurrently = bool(match["concurrently"])
    # In the one that is parsed a hole would be no name.
    index = parse_create_index(statement) if "(" in statement and HOLE not in statement else None
    yield Change(
        Kind.CREATE_INDEX, table=_name(match["table"]), name=_name(match["name"]), index=index, safe=concurrently,
        sql=statement,
    )  # fmt: skip
    if concurrently:
        yield Change(Kind.CONCURRENTLY, table=_name(match["table"]), name=_name(match["name"]), sql=statement)


def _drop_index(match: re.Match[str], statement: str) -> Iterator[Change]:
    for part in split_list(statement[match.end() :]):
        name = _name(re.sub(r"\s+(CASCADE|RESTRICT)$", "", part, flags=re.IGNORECASE))
        yield Change(Kind.DROP_INDEX, name=name, safe=bool(match[1]), sql=statement)
    if match[1]:
        yield Change(Kind.CONCURRENTLY, sql=statement)


def _drop_table(match: re.Match[str], statement: str) -> Iterator[Change]:
    for part in split_list(statement[match.end() :]):
        table = _name(re.sub(r"\s+(CASCADE|RESTRICT)$", "", part, flags=re.IGNORECASE))
        yield Change(Kind.DROP_TABLE, table=table, sql=statement)


def _heavy(kind: Kind) -> Callable[[re.Match[str], str], Iterator[Change]]:
    def make(match: re.Match[str], statement: str) -> Iterator[Change]:
        concurrently = bool(re.search(r"\bCONCURRENTLY\b", statement, re.IGNORECASE))
        yield Change(kind, table=_name(match[1]), name=_name(match[1]), safe=concurrently, sql=statement)
        if concurrently:
            yield Change(Kind.CONCURRENTLY, name=_name(match[1]), sql=statement)

    return make


def _written(kind: Kind) -> Callable[[re.Match[str], str], Iterator[Change]]:
    def make(match: re.Match[str], statement: str) -> Iterator[Change]:
        limited = bool(re.search(r"\bWHERE\b", _flat(statement), re.IGNORECASE))
        yield Change(kind, table=_name(match[1]), safe=limited, sql=statement)

    return make


def _flat(sql: str) -> str:
    """Return a text with nothing in its parentheses: the WHERE of a subquery limits nothing but that."""
    parts, start = [], 0
    while (opened := sql.find("(", start)) >= 0:
        parts.append(sql[start : opened + 1])
        start = closing(sql, opened) - 1
    return "".join([*parts, sql[start:]])


def _with(match: re.Match[str], statement: str) -> Iterator[Change]:
    """Yield what the queries of a WITH change, and then what the statement after them does."""
    rest = statement[match.end() :]
    while found := re.match(rf"\s*,?\s*{_PART}\s*(?:\(.*?\)\s*)?AS (?:(?:NOT )?MATERIALIZED )?\(", rest, re.IGNORECASE):
        end = closing(rest, found.end() - 1)
        yield from _inner(rest[found.end() : end - 1], statement)
        rest = rest[end:]
    yield from _inner(rest, statement)


def _inner(part: str, statement: str) -> Iterator[Change]:
    for change in _changes(part.strip()):
        yield replace(change, sql=statement)


def _drop_schema(match: re.Match[str], statement: str) -> Iterator[Change]:
    cascades = re.search(r" CASCADE$", statement, re.IGNORECASE)
    for part in split_list(statement[match.end() :]):
        name = _name(re.sub(r"\s+(CASCADE|RESTRICT)$", "", part, flags=re.IGNORECASE))
        # One that must be empty takes nothing along.
        yield Change(Kind.DROP_SCHEMA if cascades else Kind.OTHER, name=name, sql=statement)


def _lock(match: re.Match[str], statement: str) -> Iterator[Change]:
    lenient = re.search(r" IN (ACCESS SHARE|ROW SHARE|ROW EXCLUSIVE) MODE", statement, re.IGNORECASE)
    yield Change(Kind.LOCK, table=_name(match[1]), name=_name(match[1]), safe=bool(lenient), sql=statement)


def _alter_table(match: re.Match[str], statement: str) -> Iterator[Change]:
    table = _name(match[1])
    for action in split_list(statement[match.end() :]):
        change = _action(table, action, statement)
        yield change
        if change.kind is Kind.ADD_COLUMN:
            yield from inline(change)


def inline(added: Change) -> Iterator[Change]:
    """Yield the constraints that stand in the declaration of a column that is added: they are of its statement."""
    (column,) = added.columns
    for kind, there in (
        (Kind.PRIMARY_KEY, column.primary_key),
        (Kind.UNIQUE, column.unique),
        (Kind.CHECK, column.check),
        (Kind.FOREIGN_KEY, column.foreign_key),
    ):
        if there:
            # PostgreSQL does not look at the rows for a foreign key of a column that is null in each.
            safe = kind is Kind.FOREIGN_KEY and column.default is None and not column.generated
            yield Change(kind, table=added.table, safe=safe, sql=added.sql)


def _action(table: str | None, action: str, statement: str) -> Change:
    def tried(pattern: str) -> re.Match[str] | None:
        return re.match(pattern, action, re.IGNORECASE | re.DOTALL)

    if found := tried(rf"ADD (?:CONSTRAINT {_NAME} )?(FOREIGN KEY|CHECK|UNIQUE|PRIMARY KEY|EXCLUDE)\b"):
        kind = _CONSTRAINTS[found[2].upper()]
        ends = r"\bNOT VALID$" if kind in (Kind.FOREIGN_KEY, Kind.CHECK) else r"\bUSING INDEX\b"
        safe = bool(re.search(ends, action.strip(), re.IGNORECASE))
        return Change(kind, table=table, name=_name(found[1]), safe=safe, sql=statement)
    if found := tried(rf"ALTER (?:COLUMN )?{_NAME} SET NOT NULL"):
        return Change(Kind.SET_NOT_NULL, table=table, name=_name(found[1]), sql=statement)
    if found := tried(rf"ALTER (?:COLUMN )?{_NAME} (?:SET DATA )?TYPE (.*?)(?: USING (.*))?$"):
        column = Column(_name(found[1]) or "", parse_type(found[2]))
        return Change(
            Kind.SET_TYPE, table=table, name=_name(found[1]), columns=(column,), using=found[3], sql=statement
        )
    if found := tried(rf"DROP (?:COLUMN )?{_MAYBE}(?!CONSTRAINT ){_NAME}"):
        return Change(Kind.DROP_COLUMN, table=table, name=_name(found[1]), sql=statement)
    if found := tried(rf"RENAME TO {_NAME}"):
        return Change(Kind.RENAME_TABLE, table=table, name=_name(found[1]), sql=statement)
    if (found := tried(rf"RENAME (?:COLUMN )?(?!CONSTRAINT ){_NAME} TO {_NAME}")) is not None:
        return Change(Kind.RENAME_COLUMN, table=table, name=_name(found[1]), sql=statement)
    if found := tried(rf"ADD (?:COLUMN )?{_MAYBE}(?!CONSTRAINT )(.*)$"):
        column = _column(found[1])
        return Change(Kind.ADD_COLUMN, table=table, name=column.name or None, columns=(column,), sql=statement)
    if tried(r"SET TABLESPACE "):
        return Change(Kind.SET_TABLESPACE, table=table, name=table, sql=statement)
    if tried(r"SET (UN)?LOGGED\b"):
        return Change(Kind.SET_LOGGED, table=table, name=table, sql=statement)
    return Change(Kind.OTHER, table=table, sql=statement)


def _column(sql: str) -> Column:
    found = re.match(rf"{_NAME} ?(.*)$", sql, re.DOTALL)
    if found is None:
        return Column("")
    rest = found[2]
    kind = parse_type(rest) if rest and rest.split()[0].upper() not in _AGAIN else None
    default = re.search(r"\bDEFAULT (.*?)(?= NOT NULL| NULL\b| CONSTRAINT | CHECK | UNIQUE| REFERENCES |$)", rest, re.I)
    flat = _flat(rest)

    def says(pattern: str) -> bool:
        return bool(re.search(pattern, flat, re.IGNORECASE))

    serial = kind is not None and kind.name in ("serial", "bigserial", "smallserial", "serial4", "serial8")
    generated = re.search(r"\bGENERATED (?:ALWAYS|BY DEFAULT) AS (IDENTITY)?", rest, re.IGNORECASE)
    return Column(
        _name(found[1]) or "",
        kind if kind is None or HOLE not in kind.name else ColumnType("?"),
        not_null=says(r"\bNOT NULL\b|\bPRIMARY KEY\b"),
        default=default[1] if default else None,
        generated=bool(generated and not generated[1] and re.search(r"\bSTORED\b", rest, re.IGNORECASE)),
        identity=serial or bool(generated and generated[1]),
        unique=says(r"\bUNIQUE\b"),
        primary_key=says(r"\bPRIMARY KEY\b"),
        check=says(r"\bCHECK\b"),
        foreign_key=says(r"\bREFERENCES\b"),
    )


_STATEMENTS: tuple[tuple[str, Callable[[re.Match[str], str], Iterator[Change]]], ...] = (
    (rf"CREATE (?:UNLOGGED |(?:(?:GLOBAL |LOCAL )?TEMP(?:ORARY)? ))?TABLE {_MAYBE}{_NAME}", _create_table),
    (rf"CREATE MATERIALIZED VIEW {_MAYBE}{_NAME}", _simply(Kind.CREATE_TABLE)),  # nobody reads it yet
    (r"WITH (?:RECURSIVE )?", _with),
    (
        rf"CREATE (?:UNIQUE )?INDEX (?P<concurrently>CONCURRENTLY )?{_MAYBE}"
        rf"(?:(?!ON )(?P<name>{_NAME}) )?ON (?:ONLY )?(?P<table>{_NAME})",
        _create_index,
    ),
    (rf"DROP INDEX (CONCURRENTLY )?{_MAYBE}", _drop_index),
    (rf"DROP SCHEMA {_MAYBE}", _drop_schema),
    (rf"DROP TABLE {_MAYBE}", _drop_table),
    (rf"ALTER (?:INDEX|MATERIALIZED VIEW) {_MAYBE}{_NAME} SET TABLESPACE ", _simply(Kind.SET_TABLESPACE)),
    (rf"LOCK (?:TABLE )?(?:ONLY )?{_NAME}", _lock),
    (rf"ALTER TABLE {_MAYBE}(?:ONLY )?{_NAME} ", _alter_table),
    (rf"CREATE POLICY {_PART} ON {_NAME}", _simply(Kind.POLICY)),
    (rf"DROP EXTENSION {_MAYBE}{_NAME}", _simply(Kind.DROP_EXTENSION)),
    (rf"TRUNCATE (?:TABLE )?(?:ONLY )?{_NAME}", _simply(Kind.TRUNCATE)),
    (rf"UPDATE (?:ONLY )?{_NAME}", _written(Kind.UPDATE)),
    (rf"DELETE FROM (?:ONLY )?{_NAME}", _written(Kind.DELETE)),
    (rf"REINDEX (?:\(.*?\) )?(?:INDEX|TABLE|SCHEMA|DATABASE|SYSTEM) (?:CONCURRENTLY )?{_NAME}", _heavy(Kind.REINDEX)),
    (rf"REFRESH MATERIALIZED VIEW (?:CONCURRENTLY )?{_NAME}", _heavy(Kind.REFRESH)),
    (rf"CLUSTER (?:VERBOSE )?{_NAME}?", _heavy(Kind.CLUSTER)),
    (rf"VACUUM\b(?: \(.*?\))?(?: FULL| FREEZE| VERBOSE| ANALYZE)*(?: {_NAME})?", _heavy(Kind.VACUUM)),
    (r"SET LOCAL ", _simply(Kind.SET_LOCAL)),
    (r"(?:BEGIN|COMMIT|ROLLBACK|START TRANSACTION|END|ABORT)\b", _simply(Kind.TRANSACTION)),
    (r"(?:SELECT|SHOW|SET|RESET|VALUES|LISTEN|NOTIFY)\b", _simply(Kind.READ)),
)
