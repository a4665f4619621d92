"""Memories that differ in all that filters look at, and filters beside what they mean in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from memstore.models import DecayTier, MemoryType, NeuroType
from memstore.store import Filters, NewMemory
from tests.store.conformance.worlds import Owner, memory

Meant = Callable[[NewMemory], bool]

START = datetime(2026, 1, 1, tzinfo=UTC)
GONE, OVER = {"m3", "m4"}, {"m4", "m5"}
"""The ids of those that are deleted, and of those that have expired."""


def memories(owner: Owner) -> list[NewMemory]:
    kinds: list[dict[str, Any]] = [
        {},
        {"conversation_id": "c1", "source": "chat", "tags": {"topics": ["tea", "milk"]}, "metadata": {"a": 1}},
        {"conversation_id": "c2", "source": "mail", "tags": {"topics": ["tea"], "domains": ["home"]}},
        {"conversation_id": "c1", "session_id": owner.session, "tags": {"entities": ["milk"], "flat": "tea"}},
        {"agent_id": owner.agent, "importance": 1, "tags": {"topics": [["tea"], {"tea": 1}, 'it\'s "ö"']}},
        {"agent_id": owner.agent, "session_id": owner.session, "importance": 10, "metadata": {"a": 1, "b": [1, 2, {}]}},
        {
            "memory_type": MemoryType.FACT,
            "neuro_type": NeuroType.SEMANTIC,
            "tags": {"flat": "tea"},
            "metadata": {"a": {"b": "1"}, "b": [2]},
        },
        {"decay_tier": DecayTier.PINNED, "cluster_id": -1, "metadata": {"a": "1", "n": None}},
        {"decay_tier": DecayTier.LONG, "cluster_id": 0, "created_at": datetime.now(UTC)},
        {"cluster_id": 7, "source": "", "conversation_id": "", "tags": {"topics": []}, "importance": 6},
    ]
    holders = [None, owner.ann, owner.bob]
    return [
        memory(number, **{"user_id": holders[number % 3], "created_at": START + timedelta(days=number // 2)} | kind)
        for number, kind in enumerate(kinds)
    ]


def tags(new: NewMemory) -> set[str]:
    lists = [value for value in new.tags.values() if isinstance(value, list)]
    return {item for value in lists for item in value if isinstance(item, str)}


def cases(owner: Owner) -> list[tuple[Filters, Meant]]:
    """Filters, and which memories each means; `memories` has some that each means, and some that it does not."""
    at = START + timedelta(days=2)
    nobody: Meant = lambda _new: False  # noqa: E731
    other = UUID(int=5)
    fact: Any = "fact"
    named: Any = str(owner.session)
    return [
        (Filters(conversation_id="c1"), lambda new: new.conversation_id == "c1"),
        (Filters(conversation_id=["c1", "c2", "c2", "c3"]), lambda new: new.conversation_id in ("c1", "c2")),
        (Filters(conversation_id=""), lambda new: new.conversation_id == ""),
        (Filters(conversation_id=()), nobody),
        (Filters(session_id=named), lambda new: new.session_id == owner.session),
        (Filters(agent_id={owner.agent, other}), lambda new: new.agent_id == owner.agent),
        (Filters(agent_id=other), nobody),
        (Filters(user_id=owner.ann), lambda new: new.user_id == owner.ann),
        (Filters(user_id=[owner.ann, owner.bob]), lambda new: new.user_id is not None),
        (Filters(source="chat"), lambda new: new.source == "chat"),
        (Filters(source=["mail", ""]), lambda new: new.source in ("mail", "")),
        (Filters(memory_type=fact), lambda new: new.memory_type == "fact"),
        (Filters(memory_type=frozenset(MemoryType)), lambda _new: True),
        (Filters(neuro_type=NeuroType.EPISODIC), lambda new: new.neuro_type == "episodic"),
        (Filters(decay_tier=[DecayTier.PINNED, DecayTier.LONG]), lambda new: new.decay_tier is not None),
        (Filters(cluster_id=-1), lambda new: new.cluster_id == -1),
        (Filters(cluster_id=[0, 7]), lambda new: new.cluster_id in (0, 7)),
        (Filters(tags_any=["tea"]), lambda new: "tea" in tags(new)),
        (Filters(tags_any=["home", 'it\'s "ö"']), lambda new: bool(tags(new) & {"home", 'it\'s "ö"'})),
        (Filters(tags_any=[]), nobody),
        (Filters(tags_all=["tea", "milk"]), lambda new: {"tea", "milk"} <= tags(new)),
        (Filters(tags_all=["tea", "home"]), lambda new: {"tea", "home"} <= tags(new)),
        (Filters(tags_all=[]), lambda _new: True),
        (Filters(created_from=at), lambda new: (new.created_at or at) >= at),
        (Filters(created_to=at), lambda new: (new.created_at or at) < at),
        (Filters(created_from=at.replace(tzinfo=None)), lambda new: (new.created_at or at) >= at),
        (Filters(created_to=at.astimezone(timezone(timedelta(hours=3)))), lambda new: (new.created_at or at) < at),
        (Filters(importance_min=6), lambda new: new.importance >= 6),
        (Filters(importance_max=6), lambda new: new.importance <= 6),
        (Filters(importance_min=0, importance_max=1), lambda new: new.importance <= 1),
        (Filters(metadata={"a": 1}), lambda new: new.metadata.get("a") == 1),
        (Filters(metadata={"a": 1.0, "b": [{}, 2]}), lambda new: "b" in new.metadata and new.metadata["a"] == 1),
        (Filters(metadata={"a": {"b": "1"}}), lambda new: new.metadata.get("a") == {"b": "1"}),
        (Filters(metadata={"n": None}), lambda new: "n" in new.metadata),
        (Filters(metadata={"b": 2}), nobody),
        (Filters(metadata={"b": [2]}), lambda new: 2 in new.metadata.get("b", [])),
        (Filters(metadata={}), lambda _new: True),
    ]


def both(one: Filters, other: Filters) -> Filters | None:
    """Return filters that hold where both do, None where they look at the same."""
    plain = Filters()
    given = [
        {name: getattr(each, name) for name in each.__slots__ if getattr(each, name) != getattr(plain, name)}
        for each in (one, other)
    ]
    return None if given[0].keys() & given[1].keys() else Filters(**(given[0] | given[1]))
