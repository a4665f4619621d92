"""Which memories checked filters mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .containment import contains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from ..memories import Memory

    Test = Callable[[Memory], bool]

_ONE_OF = (
    "conversation_id",
    "session_id",
    "agent_id",
    "user_id",
    "source",
    "memory_type",
    "neuro_type",
    "decay_tier",
    "cluster_id",
)


def matching(
    memories: Iterable[Memory], user_id: UUID | None, conditions: Mapping[str, Any], now: datetime | None = None
) -> list[Memory]:
    """Return those of a user, or of everybody without one, that fit conditions as `checked_filters` returns them."""
    tests = _tests(user_id, conditions, now or datetime.now(UTC))
    return [memory for memory in memories if all(test(memory) for test in tests)]


def is_live(memory: Memory, now: datetime) -> bool:
    """Tell whether a memory is neither deleted nor expired."""
    return memory.deleted_at is None and (memory.expiry is None or memory.expiry > now)


def _tests(user_id: UUID | None, conditions: Mapping[str, Any], now: datetime) -> list[Test]:
    tests: list[Test] = []
    if user_id is not None:
        tests.append(lambda memory: memory.user_id == user_id)
    if "include_deleted" not in conditions:
        tests.append(lambda memory: memory.deleted_at is None)
    if "include_expired" not in conditions:
        tests.append(lambda memory: memory.expiry is None or memory.expiry > now)
    tests += [_one_of(name, conditions[name]) for name in _ONE_OF if name in conditions]
    tests += [_TESTS[name](value) for name, value in conditions.items() if name in _TESTS]
    return tests


def _one_of(name: str, values: list[Any]) -> Test:
    return lambda memory: getattr(memory, name) in values


def _has_tag(memory: Memory, tag: str) -> bool:
    return any(tag in listed for listed in memory.tags.values() if isinstance(listed, list))


_TESTS: dict[str, Callable[[Any], Test]] = {
    "tags_any": lambda tags: lambda memory: any(_has_tag(memory, tag) for tag in tags),
    "tags_all": lambda tags: lambda memory: all(_has_tag(memory, tag) for tag in tags),
    "created_from": lambda moment: lambda memory: memory.created_at >= moment,
    "created_to": lambda moment: lambda memory: memory.created_at < moment,
    "importance_min": lambda least: lambda memory: memory.importance >= least,
    "importance_max": lambda most: lambda memory: memory.importance <= most,
    "metadata": lambda part: lambda memory: contains(memory.metadata, part),
}
