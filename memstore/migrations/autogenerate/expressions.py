"""Whether two SQL expressions say the same: the server itself parses, folds and prints both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from .sql import closing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, NestedTransaction

_SYNTAX_ERROR = "42601"
_PERMISSION_DENIED = "42501"
# What the server says of names and types that do not (yet) fit the database, or of more than fits one SELECT.
_NOT_THERE = ("0A", "22", "42", "54")
_RAISED = "P0"  # by a function in PL/pgSQL
_NO_TRANSACTION = "25P01"


class ExpressionError(MigrationError, CommandError):
    """An expression of the models that is no SQL. Alembic's commands print it without a traceback."""


class Expressions:
    """The expressions of one table. Read-only: EXPLAIN parses and plans.

    While it plans it runs IMMUTABLE functions of constants, which may raise but cannot write. What raises is not
    folded, so that only its text is left to be compared.

    The model's `status IN ('a', 'b')` and the server's `status = ANY (ARRAY[...])` are one expression, which no
    comparison of texts can see.
    """

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        self._printed: dict[str, str | None] = {}

    def prepare(self, labels: Mapping[str, str]) -> None:
        """Print all of these in one question to the server. The label of each names it in an error.

        Raises:
            ExpressionError: one of them is no SQL.
        """
        # A subquery is a plan of its own, to be compared as a whole.
        simple = [text for text in labels if "select" not in text.lower()]
        try:
            plan = self._explain(*simple) if simple else None
        except _RaisedError:
            plan = None  # each by itself, then
        outputs = plan["Output"] if plan is not None else []
        if len(outputs) == len(simple):
            self._printed.update(zip(simple, outputs, strict=True))
        for text, label in labels.items():
            if text not in self._printed:
                self._printed[text] = self._print(text, label)

    def same(self, one: str | None, other: str | None) -> bool:
        """Tell whether two expressions say the same. One that names what is not there equals no other."""
        if one is None or other is None or one == other:
            return one == other
        for text in (one, other):
            if text not in self._printed:
                self._printed[text] = self._print(text, text)
        printed = self._printed[one]
        return printed is not None and printed == self._printed[other]

    def _print(self, text: str, label: str) -> str | None:
        try:
            plan = self._explain(text, label=label)
        except _RaisedError:
            return _bare(text)
        if plan is None:
            return None
        if len(plan["Output"]) != 1:
            raise _no_sql(self._table, label, text, "it is more than one expression")
        return json.dumps(plan) if "Plans" in plan else str(plan["Output"][0])

    def _explain(self, *texts: str, label: str | None = None) -> dict[str, Any] | None:
        """Return the plan of a query for these expressions, None where something in it does not exist."""
        listed = ", ".join(f"({text}\n)" for text in texts)  # a line break: a text may end in a comment
        query = f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT {listed} FROM {self._table} WHERE false"
        savepoint = self._savepoint()
        try:
            answer = self._connection.exec_driver_sql(query, execution_options={"no_parameters": True}).scalar()
        except DBAPIError as error:
            state = _sqlstate(error)
            if not state.startswith((*_NOT_THERE, _RAISED)) or state == _PERMISSION_DENIED:
                raise
            if savepoint is not None:
                savepoint.rollback()
            if state.startswith(_RAISED):
                raise _RaisedError from error
            if label is not None and state == _SYNTAX_ERROR:
                raise _no_sql(self._table, label, texts[0], str(error.orig)) from error
            return None
        if savepoint is not None:
            savepoint.commit()
        found: list[dict[str, Any]] = json.loads(answer) if isinstance(answer, str) else list(answer or ())
        plan: dict[str, Any] = found[0]["Plan"]
        return plan

    def _savepoint(self) -> NestedTransaction | None:
        """Return a savepoint, None in autocommit, where a question that fails spoils no transaction."""
        try:
            return self._connection.begin_nested()
        except DBAPIError as error:
            if _sqlstate(error) != _NO_TRANSACTION:
                raise
            return None


class _RaisedError(Exception):
    """A function raised while the server folded an expression."""


def _bare(text: str) -> str:
    """Return an expression without the parentheses around it, with which the server prints most."""
    text = text.strip()
    while text.startswith("(") and closing(text, 0) == len(text):
        text = text[1:-1].strip()
    return text


def _no_sql(table: str, label: str, text: str, why: str) -> ExpressionError:
    return ExpressionError(f"{label} of table {table} is no SQL: {text!r} ({why}). Correct it in the models")


def _sqlstate(error: DBAPIError) -> str:
    for attribute in ("sqlstate", "pgcode"):  # asyncpg and psycopg, psycopg2
        if isinstance(value := getattr(error.orig, attribute, None), str):
            return value
    return ""
