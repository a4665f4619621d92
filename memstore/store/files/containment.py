"""Comparing values of JSON as PostgreSQL's jsonb does."""

from __future__ import annotations

from typing import Any


def contains(whole: Any, part: Any) -> bool:
    """Tell whether `whole @> part`: both objects, or values within them."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(item, wanted) for item in whole) for wanted in part)
    return same_json(whole, part)


def same_json(one: Any, other: Any) -> bool:
    """Tell whether two values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return type(one) is type(other) and one == other if isinstance(one, str) else bool(one == other)
