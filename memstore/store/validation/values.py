"""Checks of single values: each returns the value as it will be kept, or raises what is wrong with it."""

from __future__ import annotations

import math
import operator
from datetime import UTC, datetime
from numbers import Real
from struct import pack, unpack
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..checks import is_storable

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    Check = Callable[[Any], Any]

INT2, INT4 = 2**15 - 1, 2**31 - 1
# asyncpg sends the first and the last moment of Python's datetime as -infinity and infinity.
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class UnfitError(Exception):
    """A value cannot be kept: `found` says what it is, `needed` what it should be."""

    def __init__(self, found: str, needed: str) -> None:
        super().__init__(found, needed)
        self.found = found
        self.needed = needed


def shown(value: object) -> str:
    """Return a value as a message may hold it: on one line, and not too long; of a number too long, its type."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4,300 digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def text(longest: int | None = None, *, shortest: int = 0) -> Check:
    """Return a check of text that PostgreSQL can hold, of that many characters."""
    length = "" if longest is None else f" of {shortest} to {longest} characters"

    def check(value: Any) -> str:
        # What somebody said is private: a message tells its type, not its words.
        if not isinstance(value, str):
            raise UnfitError(f"of type {type(value).__name__}", f"text{length}")
        if not is_storable(value):
            raise UnfitError("text with a NUL or half of a UTF-16 pair, which cannot be stored", "text without them")
        if longest is not None and not shortest <= len(value) <= longest:
            raise UnfitError(f"of {len(value)} characters", f"text{length}")
        return str(value)

    return check


def word(words: type[StrEnum]) -> Check:
    """Return a check of a word of a closed vocabulary, which may be given as plain text."""
    members: dict[str, StrEnum] = {each.value: each for each in words}

    def check(value: Any) -> StrEnum:
        found = members.get(value) if isinstance(value, str) else None
        if found is None:
            raise UnfitError(shown(value), f"one of {', '.join(members)}")
        return found

    return check


def whole(low: int, high: int) -> Check:
    """Return a check of a whole number within `low` and `high`, both included."""

    def check(value: Any) -> int:
        try:
            number = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = None
        if number is None or not low <= number <= high:
            raise UnfitError(shown(value), f"a whole number from {low} to {high}")
        return number

    return check


def real(low: float, high: float) -> Check:
    """Return a check of a number within `low` and `high`, which is kept in single precision."""

    def check(value: Any) -> float:
        single: float = unpack("f", pack("f", number(low, high)(value)))[0]
        return single

    return check


def number(low: float, high: float) -> Check:
    """Return a check of a number within `low` and `high`, both included."""

    def check(value: Any) -> float:
        try:
            found = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
        except OverflowError:
            found = math.nan
        if not low <= found <= high:
            raise UnfitError(shown(value), f"a number from {low:g} to {high:g}")
        return found

    return check


def flag(value: Any) -> bool:
    """Check a truth value: nothing else is taken for one, lest the text 'false' be true."""
    if not isinstance(value, bool):
        raise UnfitError(shown(value), "True or False")
    return value


def identity(value: Any) -> UUID:
    """Check a UUID, which may be given as text."""
    if isinstance(value, UUID):
        return value if type(value) is UUID else UUID(int=value.int)
    if not isinstance(value, str):
        raise UnfitError(shown(value), "a UUID")
    try:
        return UUID(value)
    except ValueError as error:
        raise UnfitError(shown(value), "a UUID") from error


def moment(value: Any) -> datetime:
    """Check a time; one without a zone is UTC."""
    if not isinstance(value, datetime):
        raise UnfitError(shown(value), "a datetime")
    try:
        found = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        found = _INFINITE[0]
    if found in _INFINITE:
        raise UnfitError(f"{value}, which would be infinite", "a time from the year 1 to 9999, or None")
    return found
