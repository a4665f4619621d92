from __future__ import annotations

import asyncio
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from memstore.errors import SettingsError, StaleMemoryError, UnknownMemoryError
from memstore.models import DecayTier, MemoryType
from memstore.store import Memory, MemoryChange
from tests.store.conformance.worlds import World, everywhere, memory

pytestmark = everywhere

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES: dict[str, Any] = {
    "conversation_id": "c",
    "sequence_index": 3,
    "key": "tea",
    "human_content": "human",
    "assistant_content": "assistant",
    "content": "content",
    "source": "mail",
    "intent_type": "request",
    "complexity": "complex",
    "technical_depth": 10,
    "emotional_valence": "negative",
    "urgency": "high",
    "conversation_mode": "review",
    "action_required": True,
    "has_code": True,
    "has_error": True,
    "tags": {"topics": ["tea"]},
    "cluster_id": 1,
    "cluster_label": "label",
    "cluster_confidence": 0.5,
    "memory_type": MemoryType.FACT,
    "neuro_type": "semantic",
    "importance": 9,
    "decay_tier": DecayTier.LONG,
    "decay_lambda": 0.25,
    "importance_decay": 0.5,
    "ui_source": "ui",
    "ai_generated": True,
    "user_confirmed": True,
    "expires_at": CREATED + timedelta(days=90_000),
    "metadata": {"a": 1},
    "embedding_model": "toy",
}


def without(memory: Memory, *names: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(memory).items() if name not in names}


async def test_each_field_changes_alone(world: World) -> None:
    before = await world.scope.add(memory(created_at=CREATED))
    for name, value in CHANGES.items():
        change: Any = {name: value}
        after = await world.scope.update("m0", MemoryChange(**change), version=before.version)
        assert getattr(after, name) == value, name
        assert after.version == before.version + 1
        assert after.updated_at >= before.updated_at
        moved = ("version", "updated_at", "embedding", name, "expiry")
        assert without(after, *moved) == without(before, *moved), name
        assert await world.scope.get("m0", include_expired=True) == after
        before = after
    changeable = {each.name for each in fields(MemoryChange)} - {"agent_id", "session_id", "deleted_at", "embedding"}
    assert changeable == set(CHANGES)


async def test_what_may_be_null_becomes_null(world: World) -> None:
    kept = {"content", "action_required", "has_code", "has_error", "tags", "memory_type", "neuro_type", "importance"}
    kept |= {"importance_decay", "ui_source", "ai_generated", "user_confirmed", "metadata"}
    before = await world.scope.add(memory(**CHANGES, agent_id=world.owner.agent, session_id=world.owner.session))
    nulls: Any = dict.fromkeys(set(CHANGES) - kept | {"agent_id", "session_id", "embedding"})
    after = await world.scope.update("m0", MemoryChange(**nulls), version=1)
    assert {name for name in nulls if getattr(after, name) is not None} == set()
    assert {name: getattr(after, name) for name in kept} == {name: getattr(before, name) for name in kept}
    assert (await world.scope.search(vector=[1, 2, 3, 4])).hits == ()


async def test_a_new_embedding_is_what_is_found(world: World) -> None:
    await world.scope.add_many([memory(1, embedding=[1, 0, 0, 0]), memory(2, embedding=None)])
    for name, embedding in (("m1", [0, 1, 0, 0]), ("m2", np.array([[1, 0, 0, 0]], np.float16))):
        assert (await world.scope.update(name, MemoryChange(embedding=embedding), version=1)).version == 2
    hits = await world.scope.search(vector=[1, 0, 0, 0])
    assert [(hit.memory.id, round(hit.score, 6)) for hit in hits] == [("m2", 1.0), ("m1", 0.0)]


async def test_what_changes_nothing_makes_no_new_version(world: World) -> None:
    before = await world.scope.add(memory(**CHANGES))
    for change in (MemoryChange(), MemoryChange(content="content", tags={"topics": ["tea"]}, cluster_confidence=0.5)):
        assert await world.scope.update("m0", change, version=1) == before
    same = await world.scope.update("m0", MemoryChange(embedding=[1, -3, -2, 0]), version=1)
    assert (same.version, same.updated_at) == (1, before.updated_at)


async def test_a_stale_change_is_refused_with_what_was_found(world: World) -> None:
    await world.scope.add(memory(1))
    await world.scope.update("m1", MemoryChange(content="second"), version=1)
    for version in (1, 3):
        with pytest.raises(StaleMemoryError) as stale:
            await world.scope.update("m1", MemoryChange(content="other"), version=version)
        assert (stale.value.found, stale.value.expected) == (2, version)
        for hard in (False, True):
            with pytest.raises(StaleMemoryError) as stale:
                await world.scope.delete("m1", hard=hard, version=version)
            assert (stale.value.found, stale.value.expected) == (2, version)
    found = await world.scope.get("m1")
    assert found is not None
    assert (found.content, found.version) == ("second", 2)
    wrong: Any
    for wrong in (0, -1, "2", None, True):
        with pytest.raises(SettingsError, match="the version is"):
            await world.scope.update("m1", MemoryChange(content="other"), version=wrong)


async def test_of_changes_at_the_same_time_one_is_made(world: World) -> None:
    await world.scope.add(memory(1))
    changes = [world.scope.update("m1", MemoryChange(content=f"{n}"), version=1) for n in range(8)]
    results = await asyncio.gather(*changes, return_exceptions=True)
    made = [each for each in results if isinstance(each, Memory)]
    stale = [each for each in results if isinstance(each, StaleMemoryError)]
    assert (len(made), len(stale)) == (1, 7)
    assert {(each.found, each.expected) for each in stale} == {(2, 1)}
    assert await world.scope.get("m1") == made[0]


async def test_what_is_not_there_cannot_be_changed(world: World) -> None:
    await world.anns.add(memory(1))
    for scope, name in ((world.scope, "none"), (world.bobs, "m1"), (world.scope, "nul \0"), (world.scope, "")):
        with pytest.raises(UnknownMemoryError):
            await scope.update(name, MemoryChange(content="x"), version=1)


async def test_a_soft_deletion_hides_and_can_be_taken_back(world: World) -> None:
    added = await world.scope.add(memory(1))
    assert await world.scope.delete("m1") is True
    assert await world.scope.get("m1") is None
    gone = await world.scope.get("m1", include_deleted=True)
    assert gone is not None
    assert gone.deleted_at is not None
    assert (gone.version, gone.updated_at >= added.updated_at) == (2, True)
    assert [await world.scope.delete("m1"), await world.scope.delete("m1", version=1)] == [False, False]
    assert await world.scope.get("m1", include_deleted=True) == gone
    back = await world.scope.update("m1", MemoryChange(deleted_at=None), version=2)
    assert (back.deleted_at, back.version) == (None, 3)
    assert await world.scope.get("m1") == back
    assert await world.scope.delete("m1", version=3) is True


async def test_a_hard_deletion_leaves_nothing(world: World) -> None:
    await world.scope.add_many(memory(number) for number in range(4))
    await world.scope.delete("m1")
    assert [await world.scope.delete(f"m{n}", hard=True) for n in (0, 1, 1, 9)] == [True, True, False, False]
    assert await world.scope.delete("m2", hard=True, version=1) is True
    assert set(await world.scope.get_many([f"m{n}" for n in range(4)], include_deleted=True)) == {"m3"}
    assert (await world.scope.add(memory(1))).version == 1


async def test_a_memory_expires_by_its_tier_and_its_time(world: World) -> None:
    ago = datetime.now(UTC) - timedelta(days=31)
    for number, values in enumerate(
        [{"decay_tier": "short"}, {"decay_tier": "medium"}, {"decay_tier": "long"}, {"decay_tier": "pinned"}, {}]
    ):
        old: Any = values
        await world.scope.add(memory(number, created_at=ago, **old))
    assert {each.id for each in await world.scope.list()} == {"m2", "m3", "m4"}
    assert await world.scope.record_access([f"m{n}" for n in range(5)]) == 3
    now = datetime.now(UTC)
    asked = await world.scope.update("m4", MemoryChange(expires_at=now), version=1)
    pinned = await world.scope.update("m3", MemoryChange(expires_at=now), version=1)
    longer = await world.scope.update("m0", MemoryChange(decay_tier=DecayTier.LONG), version=1)
    assert (asked.expiry, pinned.expiry, longer.expiry) == (now, None, ago + timedelta(days=180))
    assert {each.id for each in await world.scope.list()} == {"m0", "m2", "m3"}


async def test_an_access_is_counted_and_is_no_change(world: World) -> None:
    added = [await world.scope.add(memory(number)) for number in range(4)]
    await world.scope.delete("m3")
    assert await world.scope.record_access(["m0", "m1", "m1", "m3", "none"]) == 2
    assert await world.scope.record_access("m1") == 1
    assert await world.scope.record_access([]) == 0
    found = await world.scope.get_many(["m0", "m1", "m2"])
    assert [each.access_count for each in found.values()] == [1, 2, 0]
    assert [each.last_accessed is None for each in found.values()] == [False, False, True]
    counted = ("access_count", "last_accessed")
    assert [without(each, *counted) for each in found.values()] == [without(each, *counted) for each in added[:3]]
