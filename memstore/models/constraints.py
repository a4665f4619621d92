"""The constraints that many tables have, by the names and in the words that the revisions use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKeyConstraint

if TYPE_CHECKING:
    from enum import StrEnum

    from .base import Base


def tenant_foreign_key(column: str, target: type[Base], *, ondelete: str) -> ForeignKeyConstraint:
    """Return a composite foreign key `(tenant_id, column)`: a row of one tenant cannot name a row of another."""
    table = target.__tablename__
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=ondelete)


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the CHECK of a closed vocabulary."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def in_range(column: str, low: float, high: float) -> CheckConstraint:
    """Return a CHECK that a number is within `low` and `high`, both included."""
    return CheckConstraint(f"{column} BETWEEN {low} AND {high}", name=f"{column}_range")


def not_negative(column: str) -> CheckConstraint:
    """Return a CHECK that a count is zero or more."""
    return CheckConstraint(f"{column} >= 0", name=f"{column}_not_negative")


def not_empty(column: str) -> CheckConstraint:
    """Return a CHECK that a text holds at least one character."""
    return CheckConstraint(f"{column} <> ''", name=f"{column}_not_empty")


def json_is(column: str, kind: str) -> CheckConstraint:
    """Return a CHECK that a jsonb column holds an `object` or an `array`, and never the JSON null."""
    return CheckConstraint(f"jsonb_typeof({column}) = '{kind}'", name=f"{column}_is_{kind}")
