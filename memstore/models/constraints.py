"""The constraints and generated columns that many tables have, in the words that the revisions use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Computed, ForeignKeyConstraint

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


def finite(column: str) -> CheckConstraint:
    """Return a CHECK that a number which is no integer is zero or more: not NaN, which is above zero, nor infinite."""
    return CheckConstraint(f"{column} >= 0 AND {column} < 'Infinity'", name=f"{column}_not_negative")


def not_empty(column: str) -> CheckConstraint:
    """Return a CHECK that a text holds at least one character."""
    return CheckConstraint(f"{column} <> ''", name=f"{column}_not_empty")


def json_is(column: str, kind: str) -> CheckConstraint:
    """Return a CHECK that a jsonb column holds an `object` or an `array`, and never the JSON null."""
    return CheckConstraint(f"jsonb_typeof({column}) = '{kind}'", name=f"{column}_is_{kind}")


def is_sha256(column: str) -> CheckConstraint:
    """Return a CHECK that bytes are as long as a sha256."""
    return CheckConstraint(f"octet_length({column}) = 32", name=f"{column}_is_sha256")


def has_cosine(column: str) -> CheckConstraint:
    """Return a CHECK that a vector has a cosine.

    A zero vector has none, nor has one whose squares leave the range of a float: both are NaN.
    """
    return CheckConstraint(f"({column} <=> {column}) <> 'NaN'::double precision", name=f"{column}_has_cosine")


def words_of(*columns: str) -> Computed:
    """Return the generated lexemes of some texts, English.

    A tsvector holds at most 1 MiB, in which a compound stands whole and in parts: a longer text is kept, but not
    indexed beyond 100,000 characters.
    """
    texts = " || ' ' || ".join(f"coalesce({column}, '')" for column in columns)
    return Computed(f"to_tsvector('english'::regconfig, left({texts}, 100000))", persisted=True)
