"""Dropping what was kept for the way back, and what stays for a reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memstore.errors import MilvusStateError
from memstore.milvus import collections as ours
from memstore.milvus import (
    move,
    prune,
)
from memstore.milvus.reader import KNOWN_FOR_S
from memstore.milvus.state import STATE
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import DIM, World, vectors

FIRST, SECOND = "memories_unified__0001", "memories_unified__0002"


async def test_what_somebody_is_led_to_is_kept_and_followed(world: World, tmp_path: Path) -> None:
    await world.add(vectors(5))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    await move(world.engine, world.milvus, chain=world.chain)
    await ours.point(world.milvus, "their_own", FIRST)
    copied = f"{FIRST}_copy"
    version = world.chain.spec("0001_unified_memory", DIM)
    properties = {"memstore.revision": "0001_unified_memory", STATE: "complete"}
    await ours.create(world.milvus, copied, version, properties)
    await ours.create(world.milvus, f"{FIRST}_restored", version, {**properties, STATE: "restoring"})
    done = await prune(world.engine, world.milvus)
    assert (done.dropped, dict(done.kept)) == (
        (),
        {
            FIRST: "their_own leads to it",
            copied: "it is a copy of 0001_unified_memory, under another name",
            f"{FIRST}_restored": "a restore has not finished it",
            SECOND: "readers are led to it",
        },
    )
    await world.add(vectors(5, seed=2), first=5)
    await world.sync()
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_what_readers_may_still_search_in_is_not_dropped(world: World, tmp_path: Path) -> None:
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    await move(world.engine, world.milvus, chain=world.chain)
    pruning = asyncio.create_task(prune(world.engine, world.milvus))
    await asyncio.sleep(KNOWN_FOR_S)
    assert FIRST in await ours.names(world.milvus)
    assert (await pruning).dropped == (FIRST,)
    assert (await prune(world.engine, world.milvus)).dropped == ()


async def test_a_mirror_of_another_width_is_left_with_what_the_error_says_to_type(world: World) -> None:
    """What MILVUS_URI names is the mirror of another database."""
    await world.follow()
    await ours.set_properties(world.milvus, FIRST, {"memstore.checksum": "f" * 64})
    with pytest.raises(MilvusStateError, match="down base --rebuild, memstore milvus prune --rebuild and .* up"):
        await move(world.engine, world.milvus, rebuild=True)
    await move(world.engine, world.milvus, "base", rebuild=True)
    with pytest.raises(MilvusStateError, match="checksum ffffffffffff"):
        await prune(world.engine, world.milvus)
    assert (await prune(world.engine, world.milvus, rebuild=True)).dropped == (FIRST,)
    await move(world.engine, world.milvus)
    assert (await world.status()).is_whole
