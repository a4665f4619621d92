"""Filters as they are checked, and as `memstore.hybrid_search` takes them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ...errors import SettingsError
from ...models import DecayTier, MemoryType, NeuroType
from .json_values import json_object
from .values import INT2, INT4, UnfitError, flag, identity, moment, shown, text, whole, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..filters import Filters
    from .values import Check


def _one_or_several(check: Check) -> Check:
    def checked(value: Any) -> list[Any]:
        # Text is a collection too, and is meant as one value.
        several = isinstance(value, Collection) and not isinstance(value, str | bytes)
        return _each(value if several else [value], check)

    return checked


def _several(check: Check) -> Check:
    def checked(value: Any) -> list[Any]:
        if not isinstance(value, Collection) or isinstance(value, str | bytes):
            raise UnfitError(shown(value), "a collection, such as a list")
        return _each(value, check)

    return checked


def _each(values: Collection[Any], check: Check) -> list[Any]:
    return list(dict.fromkeys(map(check, values)))


_CHECKS: dict[str, Check] = {
    "conversation_id": _one_or_several(text()),
    "session_id": _one_or_several(identity),
    "agent_id": _one_or_several(identity),
    "user_id": _one_or_several(identity),
    "source": _one_or_several(text()),
    "memory_type": _one_or_several(word(MemoryType)),
    "neuro_type": _one_or_several(word(NeuroType)),
    "decay_tier": _one_or_several(word(DecayTier)),
    "cluster_id": _one_or_several(whole(-1, INT4)),
    "tags_any": _several(text()),
    "tags_all": _several(text()),
    "created_from": moment,
    "created_to": moment,
    "importance_min": whole(-INT2, INT2),
    "importance_max": whole(-INT2, INT2),
    "metadata": json_object,
    "include_deleted": flag,
    "include_expired": flag,
}


def checked_filters(filters: Filters) -> dict[str, Any]:
    """Return those filters that leave something out or let something in, by name.

    What may be one value or several is a list, also of one. Left out are those that change nothing: None, an empty
    `metadata`, an empty `tags_all`, and the flags that are False.

    Raises:
        SettingsError: a value is of another type or out of range.
    """
    found = {}
    for name in _NAMES:
        value = getattr(filters, name)
        if value is None or value is False:
            continue
        try:
            checked = _CHECKS[name](value)
        except UnfitError as error:
            raise SettingsError(f"the filter {name} is {error.found}. Needed: {error.needed}") from error
        if checked or name not in ("metadata", "tags_all"):
            found[name] = checked
    return found


def as_plain(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked filters as JSON has them: the `filters` of `memstore.hybrid_search`."""
    return {name: _plain(value) for name, value in conditions.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


_NAMES = tuple(_CHECKS)
