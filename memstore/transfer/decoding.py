"""One exchange of a corpus as the database takes it, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import DecodeError, Raw, ValidationError, convert
from msgspec.json import Decoder, encode
from msgspec.json import decode as decode_json

from ..models.vocabulary import MemoryType, NeuroType
from ..store.files import FOREIGN_KEYS, exchange_id, is_stored
from .node import VOCABULARIES, Node, StoredNode

_STORED = b'"has_embedding":'


@dataclass(frozen=True, slots=True)
class NodeProblem(Exception):  # noqa: N818 -- one of many, collected into a CorpusError
    """What is wrong with one field of one node."""

    field: str
    message: str


_ELSEWHERE = ("user_id", "tenant_id")  # whose user, and which tenant, the importer is told
COLUMNS = (
    *(key for key in FOREIGN_KEYS if key not in _ELSEWHERE),
    "metadata",
    "user_id",
    "agent_id",
    "session_id",
    "key",
    "content",
    "memory_type",
    "neuro_type",
    "importance",
    "decay_tier",
    "decay_lambda",
    "importance_decay",
    "ui_source",
    "ai_generated",
    "user_confirmed",
    "expires_at",
    "deleted_at",
    "updated_at",
    "version",
    "embedding_model",
)


class Decoded(NamedTuple):
    """A node as the database takes it: `columns` are its values in the order of COLUMNS."""

    id: str
    columns: tuple[Any, ...]
    has_embedding: bool


_decoder = Decoder(Node)
_stored_decoder = Decoder(StoredNode)
# What a node that was made elsewhere has of the columns from user_id on.
_DEFAULTS = (
    *(None,) * 5,
    MemoryType.GENERAL,
    NeuroType.EPISODIC,
    5,
    None,
    None,
    1.0,
    "api",
    *(False,) * 2,
    *(None,) * 3,
    1,
    None,
)

# asyncpg sends the first and the last moment of Python's datetime as -infinity and infinity.
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


def decode(raw: Raw) -> Decoded:
    """Return a node as asyncpg's COPY takes it.

    A missing id is made from the content. What has no column of its own is kept in `metadata`: keys that memstore does
    not know, and the user_id and tenant_id that the node had where it comes from. Only a node of a `FileStore` has a
    user of memstore's.

    Raises:
        NodeProblem: a field holds something that the database would refuse.
    """
    written = memoryview(raw).tobytes()
    node, extra = _parse(raw, is_stored=_STORED in written)
    if isinstance(node, Node) and node.user_id is not None:
        extra["user_id"] = node.user_id
    if node.tenant_id is not None:
        extra["tenant_id"] = node.tenant_id
    if b"\\u0000" in written:
        _refuse_nul(node, extra)
    if isinstance(node, StoredNode):
        extra = node.metadata | extra
        return Decoded(node.id, (*_of_exchange(node, node.id, extra), *_of_stored(node)), node.has_embedding)
    id_ = exchange_id(node.conversation_id, node.sequence_index, node.human_content) if node.id is None else node.id
    return Decoded(id_, (*_of_exchange(node, id_, extra), *_DEFAULTS), True)


def _of_exchange(node: Node | StoredNode, id_: str, metadata: dict[str, Any]) -> tuple[Any, ...]:
    return (
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
        encode(metadata).decode(),
    )


def _of_stored(node: StoredNode) -> tuple[Any, ...]:
    if node.content is None and node.human_content is None:
        raise NodeProblem("content", "missing, needed: text here or in human_content")
    return (
        node.user_id,
        node.agent_id,
        node.session_id,
        node.key,
        node.content,
        node.memory_type,
        node.neuro_type,
        node.importance,
        node.decay_tier,
        node.decay_lambda,
        node.importance_decay,
        node.ui_source,
        node.ai_generated,
        node.user_confirmed,
        _time("expires_at", node.expires_at),
        _time("deleted_at", node.deleted_at),
        _time("updated_at", node.updated_at),
        node.version,
        node.embedding_model,
    )


def _parse(raw: Raw, *, is_stored: bool) -> tuple[Node | StoredNode, dict[str, Any]]:
    try:
        return (_stored_decoder if is_stored else _decoder).decode(raw), {}
    except ValidationError:
        return _parse_loosely(raw)  # an unknown key, which is kept, or a bad value, which is told with what was found
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeProblem("(whole node)", str(error)) from error


def _parse_loosely(raw: Raw) -> tuple[Node | StoredNode, dict[str, Any]]:
    try:
        loose = decode_json(raw)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeProblem("(whole node)", str(error)) from error
    if not isinstance(loose, dict):
        raise NodeProblem("(whole node)", f"found {shown(loose)}, needed an object")
    kind: type[Node] | type[StoredNode] = StoredNode if is_stored(loose) else Node
    known = {key: value for key, value in loose.items() if key in kind.__struct_fields__}
    try:
        node = convert(known, kind)
    except ValidationError as error:
        raise _explained(error, loose) from error
    return node, {key: value for key, value in loose.items() if key not in known}


def _explained(error: ValidationError, found: dict[str, Any]) -> NodeProblem:
    message, _, path = str(error).partition(" - at `$.")
    field = re.split(r"[.\[`]", path)[0]
    if not field:  # "Object missing required field `human_content`"
        field = message.rpartition("field ")[2].strip("`")
        return NodeProblem(field, "missing, needed: text" if field == "human_content" else "missing")
    if field in VOCABULARIES:
        message = f"one of {', '.join(VOCABULARIES[field])}"
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


def _refuse_nul(node: Node | StoredNode, extra: dict[str, Any]) -> None:
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
