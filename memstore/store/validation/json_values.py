"""What PostgreSQL's jsonb can hold, and gives back as it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from ..checks import is_storable
from .values import UnfitError, shown

MAX_DEPTH = 100
_MAX_BITS = 1_024  # as many as the largest float has: no reader of JSON gives up on it


def json_object(value: Any) -> dict[str, Any]:
    """Check an object of JSON and return a copy of it, of plain types, as jsonb would give it back."""
    if not isinstance(value, Mapping):
        raise UnfitError(f"of type {type(value).__name__}", "a mapping")
    return _object(value, 1)


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    _check_depth(depth)
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise UnfitError(f"a mapping with the key {shown(key)}", "text for keys, as JSON has")
        result[_text(key)] = _plain(item, depth)
    return result


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return _object(value, depth + 1)
    if isinstance(value, list | tuple):
        _check_depth(depth + 1)
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Integral):
        return _whole(int(value))
    if isinstance(value, Real):
        return _fraction(float(value))
    raise UnfitError(f"a mapping that holds a {type(value).__name__}", "what JSON has: text, numbers, lists, mappings")


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnfitError(f"nested deeper than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")


def _text(value: str) -> str:
    if not is_storable(value):
        raise UnfitError(
            "a mapping that holds a NUL or half of a UTF-16 pair, which cannot be stored", "text without them"
        )
    return str(value)


def _whole(value: int) -> int:
    if value.bit_length() > _MAX_BITS:
        raise UnfitError(f"a mapping that holds an integer of {value.bit_length()} bits", f"at most {_MAX_BITS} bits")
    return value


def _fraction(value: float) -> float | int:
    if not math.isfinite(value):
        raise UnfitError(f"a mapping that holds {value}", "finite numbers, as JSON has")
    # jsonb keeps decimal digits: what is written with a positive exponent comes back as a whole number.
    return int(Decimal(repr(value))) if abs(value) >= 1e16 else value
