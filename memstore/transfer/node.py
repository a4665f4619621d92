"""One exchange of a corpus: its shape, what may be in it, and what is wrong with it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError, convert
from msgspec.json import Decoder, encode
from msgspec.json import decode as decode_json

from ..models.vocabulary import Complexity, ConversationMode, EmotionalValence, IntentType, Urgency

_INT4 = 2**31 - 1
_Text50 = Annotated[str, Meta(max_length=50)]
_Text255 = Annotated[str, Meta(max_length=255)]
_Count = Annotated[int, Meta(ge=0, le=_INT4)]
_VOCABULARIES = {
    "intent_type": IntentType,
    "complexity": Complexity,
    "emotional_valence": EmotionalValence,
    "urgency": Urgency,
    "conversation_mode": ConversationMode,
}


class Node(Struct, forbid_unknown_fields=True):
    """An exchange as `corpus/nodes.json` holds it. Times are ISO 8601, naive ones are UTC."""

    human_content: str
    id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    conversation_id: _Text255 | None = None
    sequence_index: _Count | None = None
    assistant_content: str | None = None
    source: _Text50 | None = None
    created_at: str | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    intent_type: IntentType | None = None
    complexity: Complexity | None = None
    technical_depth: Annotated[int, Meta(ge=0, le=10)] | None = None
    emotional_valence: EmotionalValence | None = None
    urgency: Urgency | None = None
    conversation_mode: ConversationMode | None = None
    action_required: bool | None = None
    has_code: bool | None = None
    has_error: bool | None = None
    tags: dict[str, Any] | None = None
    cluster_id: Annotated[int, Meta(ge=-1, le=_INT4)] | None = None
    cluster_label: _Text255 | None = None
    cluster_confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    access_count: _Count | None = None
    last_accessed: str | None = None


@dataclass(frozen=True, slots=True)
class NodeProblem(Exception):  # noqa: N818 -- one of many, collected into a CorpusError
    """What is wrong with one field of one node."""

    field: str
    message: str


COLUMNS = (
    "id",
    "conversation_id",
    "sequence_index",
    "human_content",
    "assistant_content",
    "source",
    "created_at",
    "intent_type",
    "complexity",
    "technical_depth",
    "emotional_valence",
    "urgency",
    "conversation_mode",
    "action_required",
    "has_code",
    "has_error",
    "tags",
    "cluster_id",
    "cluster_label",
    "cluster_confidence",
    "access_count",
    "last_accessed",
    "metadata",
)

_decoder = Decoder(Node)

# asyncpg sends the first and the last moment of Python's datetime as -infinity and infinity.
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


def decode(raw: Raw) -> tuple[str, tuple[Any, ...]]:
    """Return a node's id, and its values in the order of COLUMNS, as asyncpg's COPY takes them.

    A missing id is made from the content, see `make_id`. What has no column of its own is kept in `metadata`: keys
    that memstore does not know, and the user_id and tenant_id that the node had where it comes from.

    Raises:
        NodeProblem: a field holds something that the database would refuse.
    """
    node, extra = _parse(raw)
    if node.user_id is not None:
        extra["user_id"] = node.user_id
    if node.tenant_id is not None:
        extra["tenant_id"] = node.tenant_id
    if b"\\u0000" in memoryview(raw).tobytes():
        _refuse_nul(node, extra)
    id_ = make_id(node) if node.id is None else node.id
    return id_, (
        id_,
        node.conversation_id,
        node.sequence_index,
        node.human_content,
        node.assistant_content,
        node.source,
        _time("created_at", node.created_at),
        node.intent_type,
        node.complexity,
        node.technical_depth,
        node.emotional_valence,
        node.urgency,
        node.conversation_mode,
        bool(node.action_required),
        bool(node.has_code),
        bool(node.has_error),
        encode(node.tags or {}).decode(),
        node.cluster_id,
        node.cluster_label,
        node.cluster_confidence,
        node.access_count or 0,
        _time("last_accessed", node.last_accessed),
        encode(extra).decode(),
    )


def make_id(node: Node) -> str:
    """Return the id of an exchange that has none: `mem_` and 16 hex digits, the same in every export of it."""
    named = f"{node.conversation_id}:{node.sequence_index}:{node.human_content[:100]}"
    return f"mem_{hashlib.sha256(named.encode()).hexdigest()[:16]}"


def _parse(raw: Raw) -> tuple[Node, dict[str, Any]]:
    try:
        return _decoder.decode(raw), {}
    except ValidationError:
        return _parse_loosely(raw)  # an unknown key, which is kept, or a bad value, which is told with what was found
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeProblem("(whole node)", str(error)) from error


def _parse_loosely(raw: Raw) -> tuple[Node, dict[str, Any]]:
    try:
        loose = decode_json(raw)
    except (ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise NodeProblem("(whole node)", str(error)) from error
    if not isinstance(loose, dict):
        raise NodeProblem("(whole node)", f"found {shown(loose)}, needed an object")
    known = {key: value for key, value in loose.items() if key in Node.__struct_fields__}
    try:
        node = convert(known, Node)
    except ValidationError as error:
        raise _explained(error, loose) from error
    return node, {key: value for key, value in loose.items() if key not in known}


def _explained(error: ValidationError, found: dict[str, Any]) -> NodeProblem:
    message, _, path = str(error).partition(" - at `$.")
    field = re.split(r"[.\[`]", path)[0]
    if not field:  # "Object missing required field `human_content`"
        field = message.rpartition("field ")[2].strip("`")
        return NodeProblem(field, "missing, needed: text")
    if field in _VOCABULARIES:
        message = f"one of {', '.join(_VOCABULARIES[field])}"
    needed = message.replace("`", "").removeprefix("Expected ").partition(", got ")[0]
    return NodeProblem(field, f"found {shown(found[field])}, needed: {needed}")


def _time(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        needed = "needed: an ISO 8601 time such as 2026-11-20T09:00:00Z"
        raise NodeProblem(field, f"found {shown(text)}, {needed}") from error
    if moment in _INFINITE:
        raise NodeProblem(field, f"found {shown(text)}, which would become infinite, needed: null for never")
    return moment


def _refuse_nul(node: Node, extra: dict[str, Any]) -> None:
    values = {field: getattr(node, field) for field in node.__struct_fields__}
    for field, value in (values | extra).items():
        if _has_nul(field) or _has_nul(value):
            raise NodeProblem(
                field if field.isprintable() else shown(field),
                "found a NUL character, which PostgreSQL cannot store in text. Remove it",
            )


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def shown(value: object) -> str:
    """Return a value as a message may hold it: on one line, and not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
