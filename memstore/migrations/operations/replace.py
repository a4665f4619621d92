"""Replacing what has no rows, by the full text of both directions: functions, views, triggers and policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
from .create_text import CreateText
from .plain import PlainWork
from .replace_on_table import replace_on_table
from .replace_routine import replace_routine
from .replace_view import replace_view

if TYPE_CHECKING:
    from collections.abc import Callable

    Replace = Callable[[PlainWork, CreateText, CreateText], None]


class Replacements(MigrateOperation):
    """Operations that replace an object by another of the same name, in the transaction of the revision.

    Each takes two full CREATE statements, what is to be and what was; the way down calls it with the two exchanged.
    What is there must be the one or the other, as the server describes it: what somebody has changed by hand is not
    overwritten. Owner, grants and comments stay.
    """

    @classmethod
    def replace_function(cls, operations: Operations, after: str, *, before: str) -> None:
        """Replace a function or a procedure.

        It is dropped and made again where its arguments or its result differ. With --sql, where no database can be
        asked, the texts alone tell that.

        Args:
            operations: given by Alembic.
            after: the CREATE FUNCTION from this revision on.
            before: the CREATE FUNCTION until now.

        Raises:
            MigrationError: what is there is neither `before` nor `after`; or the function has to be dropped, and others
                use it, which are named. Nothing was done.
        """
        _replace(operations, "replace_function", after, before, replace_routine, "FUNCTION", "PROCEDURE")

    @classmethod
    def replace_view(cls, operations: Operations, after: str, *, before: str) -> None:
        """Replace a view. It is dropped and made again where more differs than that columns are added at the end.

        Its options, such as security_invoker, are those of the text. Arguments and errors are those of
        `replace_function`; a materialized view is refused.
        """
        _replace(operations, "replace_view", after, before, replace_view, "VIEW", "RECURSIVE VIEW")

    @classmethod
    def replace_trigger(cls, operations: Operations, after: str, *, before: str) -> None:
        """Replace a trigger, which stays off where it was turned off. Writers wait for an instant.

        Arguments are those of `replace_function`.

        Raises:
            MigrationError: what is there is neither `before` nor `after`, or the table is busy beyond the retries.
                Nothing was done.
        """
        _replace(operations, "replace_trigger", after, before, replace_on_table, "TRIGGER", "CONSTRAINT TRIGGER")

    @classmethod
    def replace_policy(cls, operations: Operations, after: str, *, before: str) -> None:
        """Replace a policy, without a moment in which there is none. Readers and writers wait for an instant.

        Arguments are those of `replace_function`, errors those of `replace_trigger`.
        """
        _replace(operations, "replace_policy", after, before, replace_on_table, "POLICY")


def _replace(operations: Operations, name: str, after: str, before: str, replace: Replace, *kinds: str) -> None:
    new, old = (CreateText.parse(each, *kinds) for each in (after, before))
    if (new.schema, new.name, new.table) != (old.schema, old.name, old.table):
        raise MigrationError(
            f"{name}: after makes {_place(new)}, before {_place(old)}. Give both the same name; another name is a new "
            "object, which op.execute makes"
        )
    replace(PlainWork(operations, name, _place(old)), new, old)


def _place(text: CreateText) -> str:
    return f"{text.label} on {text.table_sql}" if text.table else text.label
