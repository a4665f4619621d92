"""SQL as text: names and values as the server takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from sqlalchemy import Dialect

# SQL for people and for the server alike: any other style would double each %.
DIALECT: Dialect = postgresql.base.PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]

_BIND = re.compile(r"(?<![:\w\\]):(?=\w)")


def quoted(name: str) -> str:
    """Return a name as SQL takes it, in quotes where it needs them."""
    return str(DIALECT.identifier_preparer.quote(name))


def quoted_table(schema: str | None, table: str) -> str:
    """Return the name of a table as SQL takes it, with its schema where one is given."""
    return f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)


def literal(value: str) -> str:
    """Return a text as SQL takes it."""
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def escaped(sql: str) -> str:
    """Return SQL so that `sqlalchemy.text` takes no colon of it for a bind parameter."""
    return _BIND.sub(r"\:", sql)
