from __future__ import annotations

import json
from collections.abc import Coroutine
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from memstore.errors import (
    InvalidMemoryError,
    MemoryExistsError,
    TenantScopeError,
    UnknownMemoryError,
    VectorError,
)
from memstore.models import (
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    NeuroType,
    Urgency,
)
from memstore.store import Added, MemoryChange, NewMemory
from tests.store.conformance.worlds import World, everywhere, memory, vector

pytestmark = everywhere

SAID = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)
DEEP: dict[str, Any] = {}
for _ in range(101):
    DEEP = {"deeper": DEEP}

# A field, what cannot be kept in it.
INVALID: list[tuple[str, object]] = [
    ("id", ""),
    ("id", "x" * 256),
    ("id", "a\0b"),
    ("id", 7),
    ("user_id", "ann"),
    ("agent_id", 7),
    ("session_id", "{}"),
    ("conversation_id", "x" * 256),
    ("conversation_id", 7),
    ("sequence_index", -1),
    ("sequence_index", 2**31),
    ("sequence_index", True),
    ("sequence_index", 1.5),
    ("key", "x" * 256),
    ("human_content", "half \ud800"),
    ("assistant_content", "nul \0"),
    ("content", b"bytes"),
    ("source", "x" * 51),
    ("intent_type", "Question"),
    ("complexity", "hard"),
    ("technical_depth", 11),
    ("technical_depth", -1),
    ("emotional_valence", ""),
    ("urgency", 1),
    ("conversation_mode", "talk"),
    ("action_required", "false"),
    ("has_code", 1),
    ("has_error", None),
    ("tags", ["tea"]),
    ("tags", {"topics": ["nul \0"]}),
    ("tags", {"half \udfff": []}),
    ("tags", {1: "one"}),
    ("tags", None),
    ("cluster_id", -2),
    ("cluster_label", "x" * 256),
    ("cluster_confidence", 1.5),
    ("cluster_confidence", float("nan")),
    ("memory_type", "thing"),
    ("memory_type", None),
    ("neuro_type", "muscular"),
    ("importance", 0),
    ("importance", 11),
    ("importance", None),
    ("decay_tier", "ever"),
    ("decay_lambda", -0.1),
    ("decay_lambda", float("inf")),
    ("decay_lambda", 101),
    ("importance_decay", 1.1),
    ("importance_decay", None),
    ("ui_source", "x" * 51),
    ("ui_source", None),
    ("ai_generated", "yes"),
    ("user_confirmed", 0),
    ("expires_at", "tomorrow"),
    ("expires_at", datetime.max.replace(tzinfo=UTC)),
    ("metadata", {"a": float("nan")}),
    ("metadata", {"a": [float("inf")]}),
    ("metadata", {"a": {1, 2}}),
    ("metadata", {"a": 10**400}),
    ("metadata", DEEP),
    ("embedding_model", "x" * 101),
    ("created_at", datetime.min),
    ("created_at", datetime(9999, 7, 1, tzinfo=UTC)),
    ("created_at", datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
]
VECTORS: list[object] = [
    [],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
    [[1, 2, 3, 4], [1, 2, 3, 4]],
    [0, 0, 0, 0],
    [1, float("nan"), 0, 0],
    [1e300, 0, 0, 0],
    [1e30, 0, 0, 0],
    [1e-30, 0, 0, 0],
    ["1", "2", "3", "4"],
    [True, True, False, True],
    [1, 2, [3], 4],
    "abcd",
    7,
]


async def test_what_was_left_out_gets_its_default(world: World) -> None:
    before = datetime.now(UTC) - timedelta(seconds=60)
    added = await world.scope.add(NewMemory(content="tea"))
    assert added.id.startswith("mem_")
    assert added.tenant_id == world.owner.tenant
    assert before < added.created_at < datetime.now(UTC) + timedelta(seconds=60)
    assert (added.version, added.access_count, added.updated_at) == (1, 0, added.created_at)
    assert (added.tags, added.metadata, added.importance, added.importance_decay) == ({}, {}, 5, 1.0)
    assert (added.memory_type, added.neuro_type, added.ui_source) == (MemoryType.GENERAL, NeuroType.EPISODIC, "api")
    assert (added.user_id, added.expiry, added.deleted_at, added.last_accessed) == (None, None, None, None)
    assert await world.scope.get(added.id) == added


async def test_every_field_comes_back(world: World) -> None:
    new = NewMemory(
        id="mem_ö/1",
        user_id=world.owner.ann,
        agent_id=world.owner.agent,
        session_id=world.owner.session,
        conversation_id="c",
        sequence_index=2**31 - 1,
        key="tea",
        human_content="Does she take milk? 🍵",
        assistant_content="No.\n",
        content="",
        source="chat",
        intent_type=IntentType.QUESTION,
        complexity=Complexity.SIMPLE,
        technical_depth=0,
        emotional_valence=EmotionalValence.POSITIVE,
        urgency=Urgency.LOW,
        conversation_mode=ConversationMode.CHAT,
        action_required=True,
        has_code=True,
        has_error=True,
        tags={"topics": ["tea", "mílk"], "deep": {"x": [None, True, 1.5, -7, 1e-9]}},
        cluster_id=-1,
        cluster_label="drinks",
        cluster_confidence=0.1,
        memory_type=MemoryType.FACT,
        neuro_type=NeuroType.SEMANTIC,
        importance=10,
        decay_tier=DecayTier.SHORT,
        decay_lambda=0.3,
        importance_decay=0.7,
        ui_source="",
        ai_generated=True,
        user_confirmed=True,
        expires_at=SAID + timedelta(days=40_000),
        metadata={"quote": '"', "big": 10**30, "float": 1e30, "tuple": (1, 2)},
        embedding=np.array([[1, 2, 3, 4]], np.float64),
        embedding_model="toy",
        created_at=SAID.astimezone(timezone(timedelta(hours=-5))),
    )
    added = await world.scope.add(new)
    expected = {each.name: getattr(new, each.name) for each in fields(new) if each.compare} | {
        "cluster_confidence": float(np.float32(0.1)),
        "decay_lambda": float(np.float32(0.3)),
        "importance_decay": float(np.float32(0.7)),
        "metadata": {"quote": '"', "big": 10**30, "float": 10**30, "tuple": [1, 2]},
    }
    assert {name: getattr(added, name) for name in expected} == expected
    assert (added.created_at, added.created_at.tzinfo, added.expiry) == (SAID, UTC, new.expires_at)
    assert added.embedding is None
    found = await world.scope.get(new.id or "", with_embedding=True)
    assert found == added
    assert found.embedding is not None
    assert found.embedding.dtype == np.float32
    assert found.embedding.tolist() == [1, 2, 3, 4]
    assert json.dumps(dict(found.tags), sort_keys=True) == json.dumps(dict(new.tags), sort_keys=True)


async def test_words_of_vocabularies_and_uuids_may_be_plain_text(world: World) -> None:
    plain: Any = {"memory_type": "fact", "decay_tier": "pinned", "agent_id": str(world.owner.agent)}
    added = await world.scope.add(memory(**plain))
    assert (added.memory_type, added.decay_tier, added.agent_id) == (MemoryType.FACT, "pinned", world.owner.agent)
    assert type(added.memory_type) is MemoryType


async def test_a_time_without_a_zone_is_utc(world: World) -> None:
    naive = SAID.replace(tzinfo=None)
    added = await world.scope.add(memory(created_at=naive, decay_tier="medium"))
    assert (added.created_at, added.expiry) == (SAID, SAID + timedelta(days=30))


async def test_what_cannot_be_kept_is_refused_by_name(world: World) -> None:
    await world.scope.add(memory(1))
    for field, value in INVALID:
        changes: Any = {field: value}
        ways: list[Coroutine[Any, Any, Any]] = [
            world.scope.add(replace(memory(2), **changes)),
            world.scope.add_many([memory(2), replace(memory(3), **changes)]),
        ]
        if field not in ("id", "user_id", "created_at"):
            ways.append(world.scope.update("m1", MemoryChange(**changes), version=1))
        for way in ways:
            with pytest.raises(InvalidMemoryError) as refused:
                await way
            assert refused.value.field == field, (field, value)
    assert await world.scope.get("m1") == (await world.scope.list()).memories[0]
    assert await world.scope.count() == 1


async def test_a_vector_that_has_no_place_is_refused(world: World) -> None:
    before = await world.scope.add(memory(1))
    for embedding in VECTORS:
        wrong: Any = embedding
        ways: list[Coroutine[Any, Any, Any]] = [
            world.scope.add(memory(2, embedding=wrong)),
            world.scope.add_many([memory(2), memory(3, embedding=wrong)]),
            world.scope.update("m1", MemoryChange(embedding=wrong), version=1),
            world.scope.search(vector=wrong),
        ]
        for way in ways:
            with pytest.raises(VectorError):
                await way
    assert (await world.scope.list()).memories == (before,)


async def test_a_memory_without_text_is_refused(world: World) -> None:
    for new in (NewMemory(), NewMemory(assistant_content="No.")):
        with pytest.raises(InvalidMemoryError) as refused:
            await world.scope.add(new)
        assert refused.value.field == "content"
    await world.scope.add(memory(1, human_content="tea"))
    kept = await world.scope.update("m1", MemoryChange(content=None), version=1)
    with pytest.raises(InvalidMemoryError) as refused:
        await world.scope.update("m1", MemoryChange(human_content=None), version=kept.version)
    assert refused.value.field == "content"


async def test_an_id_is_taken_once(world: World) -> None:
    await world.scope.add(memory(1))
    for again in (memory(1), memory(1, user_id=world.owner.ann)):
        with pytest.raises(MemoryExistsError):
            await world.scope.add(again)
    await world.scope.delete("m1")
    with pytest.raises(MemoryExistsError):
        await world.scope.add(memory(1))
    await world.scope.delete("m1", hard=True)
    assert (await world.scope.add(memory(1))).version == 1


async def test_a_key_is_taken_once_for_each_agent_and_user_while_it_is_live(world: World) -> None:
    agent, ann = world.owner.agent, world.owner.ann
    holders: list[dict[str, UUID]] = [{}, {"agent_id": agent}, {"user_id": ann}, {"agent_id": agent, "user_id": ann}]
    for number, holder in enumerate(holders):
        await world.scope.add(memory(number, key="tea", **holder))
        with pytest.raises(MemoryExistsError):
            await world.scope.add(memory(100, key="tea", **holder))
    await world.scope.add(memory(10, key="coffee"))
    with pytest.raises(MemoryExistsError):
        await world.scope.update("m10", MemoryChange(key="tea"), version=1)
    await world.scope.delete("m0")
    renamed = await world.scope.update("m10", MemoryChange(key="tea"), version=1)
    assert renamed.key == "tea"
    with pytest.raises(MemoryExistsError):
        await world.scope.update("m0", MemoryChange(deleted_at=None), version=2)


async def test_many_are_added_in_their_order(world: World) -> None:
    unnamed = [replace(memory(number), id=None) for number in range(3)]
    new = [memory(number, key=f"k{number}") for number in range(1_200, 0, -1)]
    added = await world.scope.add_many(iter(new))
    assert added == Added(tuple(f"m{number}" for number in range(1_200, 0, -1)), 1_200, 0)
    assert len(set((await world.scope.add_many(unnamed)).ids)) == 3
    assert await world.scope.count() == 1_203
    found = await world.scope.get("m77", with_embedding=True)
    assert found is not None
    assert found.embedding is not None
    assert found.embedding.tolist() == pytest.approx(vector(77))
    assert await world.scope.add_many([]) == Added((), 0, 0)


@pytest.mark.parametrize("spoilt", [memory(1), memory(7), memory(8, key="tea")], ids=["taken", "twice", "key"])
async def test_all_are_added_or_none(world: World, spoilt: NewMemory) -> None:
    await world.scope.add(memory(1, key="tea"))
    new = [*(memory(number) for number in range(2, 8)), spoilt]
    with pytest.raises(MemoryExistsError):
        await world.scope.add_many(new)
    assert await world.scope.count() == 1


async def test_what_is_there_is_passed_over_when_asked_to(world: World) -> None:
    await world.scope.add_many([memory(1), memory(2, key="tea"), memory(3)])
    await world.scope.delete("m3")
    new = [
        memory(1, content="other"),
        memory(10),
        memory(20, key="tea"),
        memory(3, content="other"),
        memory(10, content="other"),
        memory(30, key="milk"),
        memory(29, key="milk"),
    ]
    added = await world.scope.add_many(new, skip_existing=True)
    assert added == Added(("m1", "m10", "m2", "m3", "m10", "m30", "m30"), inserted=2, existing=5)
    found = await world.scope.get_many(added.ids)
    assert [(each.id, each.content) for each in found.values()] == [
        ("m1", "memory 1"),
        ("m10", "memory 10"),
        ("m2", "memory 2"),
        ("m30", "memory 30"),
    ]


async def test_nobody_is_passed_over_for_one_that_was_passed_over_itself(world: World) -> None:
    await world.scope.add_many([memory(1), memory(2, key="tea")])
    new = [memory(1, key="milk"), memory(3, key="milk"), memory(4, key="tea"), memory(4)]
    added = await world.scope.add_many(new, skip_existing=True)
    assert added == Added(("m3", "m3", "m4", "m4"), inserted=2, existing=2)
    assert [each.key for each in (await world.scope.get_many(["m3", "m4"])).values()] == ["milk", None]


async def test_what_others_wait_for_is_still_there_after_a_refusal(world: World) -> None:
    with pytest.raises(TenantScopeError):
        await world.anns.add(memory(1, user_id=world.owner.bob))
    with pytest.raises(TenantScopeError):
        await world.anns.add_many([memory(1), memory(2, user_id=world.owner.bob)])
    with pytest.raises(UnknownMemoryError):
        await world.scope.update("m1", MemoryChange(content="x"), version=1)
    assert (await world.anns.add(memory(1))).user_id == world.owner.ann
    assert (await world.anns.add_many([memory(2)])).inserted == 1
    assert (await world.anns.add(memory(3, user_id=world.owner.ann))).user_id == world.owner.ann


async def test_a_scope_is_of_uuids(world: World) -> None:
    wrong: Any
    for wrong in ("", "x", f"{uuid4()}'; DROP", 7, None):
        with pytest.raises(TenantScopeError):
            world.store.scope(wrong)
    for wrong in ("", "x", 7):
        with pytest.raises(TenantScopeError):
            world.store.scope(world.owner.tenant, wrong)
    named = world.store.scope(str(world.owner.tenant), str(world.owner.ann))
    assert (await named.add(memory(1))).user_id == world.owner.ann
