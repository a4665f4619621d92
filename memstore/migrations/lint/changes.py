"""What a revision does to the schema, the same whether an operation or a statement of SQL says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..autogenerate.sql import IndexDefinition


class Kind(StrEnum):
    """What kind of change."""

    CREATE_TABLE = "create table"
    DROP_TABLE = "drop table"
    DROP_SCHEMA = "drop schema"
    RENAME_TABLE = "rename table"
    ADD_COLUMN = "add column"
    DROP_COLUMN = "drop column"
    RENAME_COLUMN = "rename column"
    SET_TYPE = "change type"
    SET_NOT_NULL = "set not null"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    UNIQUE = "unique constraint"
    PRIMARY_KEY = "primary key"
    EXCLUDE = "exclusion constraint"
    POLICY = "policy"
    DROP_EXTENSION = "drop extension"
    TRUNCATE = "truncate"
    UPDATE = "update"
    DELETE = "delete"
    REINDEX = "reindex"
    CLUSTER = "cluster"
    VACUUM = "vacuum"
    REFRESH = "refresh"
    SET_TABLESPACE = "set tablespace"
    SET_LOGGED = "set logged"
    LOCK = "lock"
    CONCURRENTLY = "concurrently"
    SET_LOCAL = "set local"
    TRANSACTION = "transaction"
    SEVERAL = "several statements"
    AUTOCOMMIT = "autocommit block"
    SAFE = "safe operation"
    ARCHIVE = "archive"
    RESTORE = "restore"
    READ = "read"
    OTHER = "other"


# What changes nothing that a second run would meet again.
HARMLESS = frozenset({Kind.READ, Kind.SET_LOCAL, Kind.AUTOCOMMIT, Kind.SAFE, Kind.TRANSACTION, Kind.SEVERAL})


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type by its name in lower case, and its numbers: `numeric(10, 2)` is ("numeric", (10, 2))."""

    name: str
    numbers: tuple[int, ...] = ()

    @property
    def is_vector(self) -> bool:
        """Whether it is one of pgvector's, or `bit`, which pgvector indexes too."""
        return self.name in ("vector", "halfvec", "sparsevec", "bit")

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.numbers))})" if self.numbers else self.name


@dataclass(frozen=True, slots=True)
class Column:
    """A column as far as its declaration tells. `default` is SQL; `generated`: a stored expression computes it."""

    name: str
    type: ColumnType | None = None
    not_null: bool = False
    default: str | None = None
    generated: bool = False
    identity: bool = False
    unique: bool = False
    primary_key: bool = False
    check: bool = False
    index: bool = False
    foreign_key: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One change: to which table (None where that cannot be told), and of what name.

    `safe`: done in a way that does not lock others out, such as NOT VALID or CONCURRENTLY. `sql`: the statement, where
    it was one; else the operation's name. `objects`: what a safe operation makes or takes away, by name. The lines are
    those of the call, `first` that of the statement around it, `around` those of the `with` of a batch around it.
    """

    kind: Kind
    table: str | None = None
    name: str | None = None
    columns: tuple[Column, ...] = ()
    index: IndexDefinition | None = None
    old_type: ColumnType | None = None
    using: str | None = None
    safe: bool = False
    sql: str = ""
    objects: tuple[str, ...] = ()
    line: int = 0
    end: int = 0
    first: int = 0
    around: tuple[int, ...] = ()
    autocommit: bool = False


def parse_type(sql: str) -> ColumnType:
    """Return a type as SQL writes it."""
    found = re.match(r'\s*(?:"?\w+"?\s*\.\s*)?"?([A-Za-z_]\w*)"?((?:\s+varying|\s+precision)?)\s*(?:\(([^)]*)\))?', sql)
    if found is None:
        return ColumnType(sql.strip().lower())
    numbers = tuple(int(each) for each in re.findall(r"\d+", found[3] or ""))
    name = " ".join(f"{found[1]}{found[2]}".lower().split())
    return ColumnType({"character varying": "varchar"}.get(name, name), numbers)


def plain_name(sql: str) -> str:
    """Return the name of a table, index or column as the catalog spells it, without the schema `public`."""
    parts = re.findall(r'"(?:[^"]|"")*"|[^\s."]+', sql)
    spelled = [each[1:-1].replace('""', '"') if each.startswith('"') else each.lower() for each in parts]
    return ".".join(spelled[1:] if len(spelled) > 1 and spelled[0] == "public" else spelled)
