"""What a memory may hold: all that the constraints of `memstore.memory_nodes` refuse is refused here, by name."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from ...errors import InvalidMemoryError, TenantScopeError, VectorError
from ...models import (
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    NeuroType,
    Urgency,
)
from ..checks import checked_array, is_storable
from .json_values import json_object
from .values import INT4, UnfitError, flag, identity, moment, real, text, whole, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..memories import MemoryChange, NewMemory
    from .values import Check

MAX_ID = 255
# Half a year before the last year that Python's datetime has ends: no expiry by tier lies beyond it.
_LAST_CREATED = datetime(9999, 6, 1, tzinfo=UTC)


def _created(value: Any) -> datetime:
    checked = moment(value)
    if checked >= _LAST_CREATED:
        raise UnfitError(f"{value}", f"a time before {_LAST_CREATED:%Y-%m-%d}")
    return checked


_REQUIRED: dict[str, Check] = {
    "id": text(MAX_ID, shortest=1),
    "action_required": flag,
    "has_code": flag,
    "has_error": flag,
    "tags": json_object,
    "memory_type": word(MemoryType),
    "neuro_type": word(NeuroType),
    "importance": whole(1, 10),
    "importance_decay": real(0, 1),
    "ui_source": text(50),
    "ai_generated": flag,
    "user_confirmed": flag,
    "metadata": json_object,
}
_OPTIONAL: dict[str, Check] = {
    "user_id": identity,
    "agent_id": identity,
    "session_id": identity,
    "conversation_id": text(255),
    "sequence_index": whole(0, INT4),
    "key": text(255),
    "human_content": text(),
    "assistant_content": text(),
    "content": text(),
    "source": text(50),
    "intent_type": word(IntentType),
    "complexity": word(Complexity),
    "technical_depth": whole(0, 10),
    "emotional_valence": word(EmotionalValence),
    "urgency": word(Urgency),
    "conversation_mode": word(ConversationMode),
    "cluster_id": whole(-1, INT4),
    "cluster_label": text(255),
    "cluster_confidence": real(0, 1),
    "decay_tier": word(DecayTier),
    "decay_lambda": real(0, 100),
    "expires_at": moment,
    "deleted_at": moment,
    "embedding": checked_array,
    "embedding_model": text(100),
    "created_at": _created,
}
_CHECKS = _REQUIRED | _OPTIONAL


def _checked(name: str, value: Any) -> Any:
    if value is None and name in _OPTIONAL:
        return None
    try:
        return _CHECKS[name](value)
    except UnfitError as error:
        raise InvalidMemoryError(f"{name} is {error.found}. Needed: {error.needed}", field=name) from error
    except VectorError as error:
        raise VectorError(f"the embedding of a memory cannot be kept: {error}") from error


def checked_memory(memory: NewMemory, user_id: UUID | None) -> dict[str, Any]:
    """Return the values of a new memory by name, as they will be kept; one without an id gets one.

    `created_at` stays None where it is to be now, and `user_id` becomes the user of the scope.

    Raises:
        InvalidMemoryError, VectorError: it cannot be kept.
        TenantScopeError: it is for another user than the scope's.
    """
    values = {name: _checked(name, getattr(memory, name)) for name in _NEW}
    values["id"] = f"mem_{uuid4().hex}" if memory.id is None else _checked("id", memory.id)
    if values["content"] is None and values["human_content"] is None:
        raise no_text()
    if user_id is not None and values["user_id"] not in (None, user_id):
        raise TenantScopeError(
            f"the memory is for user {values['user_id']}, the scope is of user {user_id}. Open a scope of that user"
        )
    values["user_id"] = user_id or values["user_id"]
    return values


_NEW = tuple(name for name in _CHECKS if name not in ("id", "deleted_at"))


def checked_change(change: MemoryChange) -> dict[str, Any]:
    """Return what is to be changed by name, as it will be kept.

    Raises:
        InvalidMemoryError, VectorError: it cannot be kept.
    """
    values = {name: _checked(name, value) for name, value in change.values().items()}
    if values.get("content", "") is None and values.get("human_content", "") is None:
        raise no_text()
    return values


no_text = partial(
    InvalidMemoryError, "the memory has no text. Needed: content, or human_content for an exchange", field="content"
)


def is_possible_id(memory_id: str) -> bool:
    """Tell whether a memory can have this id. One that none can have belongs to no memory: it is not found.

    Raises:
        InvalidMemoryError: it is no text.
    """
    if not isinstance(memory_id, str):
        raise InvalidMemoryError(f"id is of type {type(memory_id).__name__}. Needed: text", field="id")
    return 1 <= len(memory_id) <= MAX_ID and is_storable(memory_id)


def possible_ids(ids: Iterable[str]) -> list[str]:
    """Return those of these ids that memories can have, each once, in their order."""
    # A single id is text too, whose characters would be taken for ids.
    if isinstance(ids, str):
        raise InvalidMemoryError("ids is of type str. Needed: several ids, such as a list", field="ids")
    return list(dict.fromkeys(each for each in ids if is_possible_id(each)))
