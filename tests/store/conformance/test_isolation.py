from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memstore.errors import UnknownMemoryError
from memstore.store import Filters, MemoryChange, MemoryScope
from tests.store.conformance.filtered import memories
from tests.store.conformance.worlds import World, for_everybody, memory

pytestmark = for_everybody

EVERYTHING = Filters(include_deleted=True, include_expired=True)


async def seen(scope: MemoryScope, ids: list[str]) -> list[set[str]]:
    """The ids that a scope finds, by each of the ways to find some."""
    everything: Any = {"include_deleted": True, "include_expired": True}
    return [
        {each.id for each in await scope.list(EVERYTHING, limit=1_000)},
        {hit.memory.id for hit in await scope.search(vector=[1, 2, 3, 4], limit=1_000, filters=EVERYTHING)},
        {hit.memory.id for hit in await scope.search(text="memory", limit=1_000, filters=EVERYTHING)},
        {
            hit.memory.id
            for hit in await scope.search(text="memory", vector=[1, 2, 3, 4], limit=1_000, filters=EVERYTHING)
        },
        set(await scope.get_many(ids, **everything)),
        {each for each in ids if await scope.get(each, **everything) is not None},
    ]


async def test_a_tenant_sees_and_changes_its_own_alone(world: World) -> None:
    other = await world.neighbour()
    theirs = world.store.scope(other.tenant)
    mine = [replace(each, content="my memory") for each in memories(world.owner)]
    await world.scope.add_many(mine)
    twins = [replace(each, content="their memory", session_id=None) for each in memories(other)]
    await theirs.add_many([*twins, memory(99)])
    before = {each.id: each for each in await theirs.list(EVERYTHING, limit=1_000)}
    ids = [each.id or "" for each in mine]

    assert await seen(world.scope, [*ids, "m99"]) == [set(ids)] * 6
    assert await world.scope.count(EVERYTHING) == len(ids)
    hits = await world.scope.search(text="memory their", vector=[1, 2, 3, 4], limit=1_000, filters=EVERYTHING)
    assert {hit.memory.tenant_id for hit in hits} == {world.owner.tenant}
    assert {hit.memory.content for hit in hits} == {"my memory"}

    assert await world.scope.record_access([*ids, "m99"]) == len(ids)
    assert await world.scope.delete("m99") is False
    assert await world.scope.delete("m99", hard=True) is False
    with pytest.raises(UnknownMemoryError):
        await world.scope.update("m99", MemoryChange(content="mine"), version=1)
    for number, each in enumerate(ids):
        if number % 3:
            await world.scope.update(each, MemoryChange(content="changed"), version=1)
        assert await world.scope.delete(each, hard=number % 2 == 0) is True
    assert {each.id: each for each in await theirs.list(EVERYTHING, limit=1_000)} == before


async def test_a_user_sees_and_changes_their_own_alone(world: World) -> None:
    await world.scope.add_many(
        [memory(1, user_id=world.owner.ann), memory(2, user_id=world.owner.bob), memory(3, user_id=None)]
    )
    before = await world.scope.get_many(["m2", "m3"])
    ids = ["m1", "m2", "m3"]
    assert await seen(world.scope, ids) == [set(ids)] * 6
    assert await seen(world.anns, ids) == [{"m1"}] * 6
    assert (await world.anns.count(), await world.bobs.count(), await world.scope.count()) == (1, 1, 3)
    assert await world.anns.record_access(ids) == 1
    for each in ("m2", "m3"):
        assert await world.anns.delete(each, hard=True) is False
        with pytest.raises(UnknownMemoryError):
            await world.anns.update(each, MemoryChange(content="mine"), version=1)
    for hidden in (Filters(user_id=world.owner.bob), Filters(user_id=[])):
        assert (await world.anns.list(hidden)).memories == ()
        assert (await world.anns.search(vector=[1, 2, 3, 4], filters=hidden)).hits == ()
    assert await world.scope.get_many(["m2", "m3"]) == before


async def test_an_unknown_tenant_has_nothing(world: World) -> None:
    await world.scope.add(memory(1))
    nobody = world.store.scope("00000000-0000-4000-8000-000000000000")
    assert await seen(nobody, ["m1"]) == [set()] * 6
    assert await nobody.count() == 0
