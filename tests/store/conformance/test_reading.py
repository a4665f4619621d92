from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from memstore.errors import InvalidMemoryError, SettingsError
from memstore.store import Filters, MemoryChange, NewMemory, Order
from tests.store.conformance.filtered import GONE, OVER, both, cases, memories
from tests.store.conformance.worlds import World, everywhere, memory

pytestmark = everywhere

AGO = datetime.now(UTC) - timedelta(seconds=1)
HIDDEN: list[tuple[dict[str, Any], set[str]]] = [
    ({}, GONE | OVER),
    ({"include_deleted": True}, OVER),
    ({"include_expired": True}, GONE),
    ({"include_deleted": True, "include_expired": True}, set()),
]
WRONG: list[dict[str, Any]] = [
    {"conversation_id": 7},
    {"conversation_id": ["c", None]},
    {"conversation_id": "nul \0"},
    {"session_id": "x"},
    {"agent_id": [7]},
    {"user_id": "half \ud800"},
    {"source": b"chat"},
    {"memory_type": "thing"},
    {"neuro_type": ["episodic", ""]},
    {"decay_tier": 1},
    {"cluster_id": 2**31},
    {"cluster_id": 1.0},
    {"cluster_id": True},
    {"tags_any": "tea"},
    {"tags_all": [1]},
    {"tags_any": ["\0"]},
    {"created_from": "2026-01-01"},
    {"created_to": 7},
    {"importance_min": "5"},
    {"importance_max": 2**31},
    {"metadata": [1]},
    {"metadata": {"a": float("nan")}},
    {"metadata": {"a": "\ud800"}},
    {"include_deleted": "yes"},
    {"include_expired": 1},
]


async def fill(world: World) -> list[NewMemory]:
    new = memories(world.owner)
    await world.scope.add_many(new)
    for each in sorted(GONE):
        await world.scope.delete(each)
    for each in sorted(OVER):
        found = await world.scope.get(each, include_deleted=True)
        assert found is not None
        await world.scope.update(each, MemoryChange(expires_at=AGO), version=found.version)
    return new


async def found_by(world: World, filters: Filters) -> set[str]:
    """Find by a list and by a search, which must find as many as a count counts."""
    listed = {each.id for each in await world.scope.list(filters)}
    searched = {hit.memory.id for hit in await world.scope.search(vector=[1, 2, 3, 4], limit=100, filters=filters)}
    assert searched == listed
    assert await world.scope.count(filters) == len(listed)
    return listed


async def test_each_filter_alone_and_with_each_other(world: World) -> None:
    new = await fill(world)
    live = [each for each in new if each.id not in GONE | OVER]
    alone = cases(world.owner)
    for filters, meant in alone:
        assert await found_by(world, filters) == {each.id for each in live if meant(each)}, filters
    for (one, meant), (other, also_meant) in combinations(alone, 2):
        filters_of_both = both(one, other)
        if filters_of_both is not None:
            expected = {each.id for each in live if meant(each) and also_meant(each)}
            listed = {each.id for each in await world.scope.list(filters_of_both)}
            assert listed == expected, filters_of_both


async def test_each_filter_alone_with_all_that_is_hidden(world: World) -> None:
    new = await fill(world)
    for flags, hidden in HIDDEN:
        expected = {each.id for each in new} - hidden
        assert await found_by(world, Filters(**flags)) == expected, flags
        assert set(await world.scope.get_many([each.id or "" for each in new], **flags)) == expected
        one_by_one = {each.id for each in new if await world.scope.get(each.id or "", **flags) is not None}
        assert one_by_one == expected
        for filters, meant in cases(world.owner)[::3]:
            widened = both(filters, Filters(**flags))
            assert widened is not None
            assert await found_by(world, widened) == {each.id for each in new if meant(each)} - hidden, widened


async def test_a_filter_of_the_wrong_kind_is_refused_by_name(world: World) -> None:
    for wrong in WRONG:
        (name,) = wrong
        asked: list[Coroutine[Any, Any, Any]] = [
            world.scope.list(Filters(**wrong)),
            world.scope.count(Filters(**wrong)),
            world.scope.search(text="tea", filters=Filters(**wrong)),
        ]
        for each in asked:
            with pytest.raises(SettingsError, match=f"^the filter {name} is "):
                await each


async def test_several_are_returned_in_their_order(world: World) -> None:
    await world.scope.add_many(memory(number) for number in range(5))
    ids = ["m3", "m0", "none", "m3", "x" * 256, "", "nul \0", "half \ud800", "m4"]
    found = await world.scope.get_many(iter(ids), with_embedding=True)
    assert list(found) == ["m3", "m0", "m4"]
    assert [each.id for each in found.values()] == list(found)
    assert all(each.embedding is not None for each in found.values())
    assert await world.scope.get_many([]) == {}


async def test_an_id_that_no_memory_can_have_is_not_found(world: World) -> None:
    wrong: Any
    for wrong in ("", "x" * 256, "nul \0", "half \ud800"):
        assert await world.scope.get(wrong) is None
        assert await world.scope.delete(wrong) is False
        assert await world.scope.record_access(wrong) == 0
    for wrong in (7, None, b"m1"):
        for refused in (world.scope.get(wrong), world.scope.delete(wrong), world.scope.get_many([wrong])):
            with pytest.raises(InvalidMemoryError):
                await refused


@pytest.mark.parametrize("order", list(Order))
async def test_pages_show_each_memory_once_while_others_come_and_go(world: World, order: Order) -> None:
    # Three of each moment, whose order is that of their ids by code points, in any locale.
    names = ["B", "a", "é"]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    new = [
        NewMemory(id=f"{name}{day}", content="x", created_at=start + timedelta(days=day))
        for day in range(10)
        for name in names
    ]
    await world.scope.add_many(new)
    days = range(10) if order is Order.OLDEST else range(9, -1, -1)
    expected = [f"{name}{day}" for day in days for name in names]
    seen: list[str] = []
    page = await world.scope.list(limit=4, order=order)
    while True:
        seen += [each.id for each in page]
        if page.next is None:
            break
        # Before what was shown, and among it: no page is shifted by them.
        early = start - timedelta(days=1) if order is Order.OLDEST else start + timedelta(days=20)
        await world.scope.add(NewMemory(content="x", created_at=early))
        await world.scope.delete(seen[-1], hard=len(seen) % 8 == 0)
        page = await world.scope.list(limit=4, order=order, after=page.next)
    assert seen == expected


async def test_the_last_page_says_so(world: World) -> None:
    await world.scope.add_many(memory(number) for number in range(4))
    assert (await world.scope.list(limit=4)).next is None
    first = await world.scope.list(limit=3)
    assert first.next is not None
    last = await world.scope.list(limit=3, after=first.next)
    assert (len(last), last.next) == (1, None)
    assert (await world.scope.list(Filters(source="x"))).memories == ()


async def test_a_page_after_something_else_is_refused(world: World) -> None:
    await world.scope.add_many(memory(number) for number in range(3))
    after = (await world.scope.list(limit=1)).next
    assert after is not None
    wrong: Any
    for wrong in ("", "x", "bm9uZQ==", after[:-4], "é", 7):
        with pytest.raises(SettingsError, match="`after` is not from a page"):
            await world.scope.list(after=wrong)
    with pytest.raises(SettingsError, match="`after` is not from a page"):
        await world.scope.list(after=after, order=Order.OLDEST)
    for limits in ({"limit": 0}, {"limit": 1_001}, {"limit": True}, {"limit": "5"}, {"order": "random"}):
        options: Any = limits
        with pytest.raises(SettingsError):
            await world.scope.list(**options)


async def test_health_counts_the_live_memories_of_the_scope(world: World) -> None:
    await fill(world)
    healthy, of_ann = await world.scope.health(), await world.anns.health()
    assert (healthy.memories, healthy.embedding_dim) == (10 - len(GONE | OVER), 4)
    assert of_ann.memories == await world.anns.count()
    assert healthy.seconds >= 0
    assert (healthy.backend, healthy.revision is None) == (
        ("file", True) if world.place.is_files else ("postgres", False)
    )
