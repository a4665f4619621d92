from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memstore.errors import MilvusStateError
from memstore.milvus import (
    Action,
    BuildState,
    MilvusSettings,
    MoveProgress,
    Problem,
    VectorIndexChoice,
    disable_mirror,
    entity_store,
    move,
    plan,
    prune,
    verify,
)
from memstore.milvus import collections as ours
from memstore.milvus.ledger import record
from memstore.milvus.naming import ALIAS
from memstore.milvus.revisions import VERSIONS, load_chain
from memstore.milvus.source import open_source
from memstore.milvus.state import STATE
from memstore.models import MirrorEvent
from tests.milvus.rows import spec
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import DIM, World, memory, vectors

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FIRST, SECOND = "memories_unified__0001", "memories_unified__0002"
BUILDING = [Action.CREATE, Action.INDEX, Action.FILL, Action.VERIFY, Action.SWITCH]


def actions(steps: tuple[object, ...]) -> list[Action]:
    return [step.action for step in steps]  # type: ignore[attr-defined]


async def events(world: World) -> list[tuple[str, str]]:
    return [tuple(row) for row in await world.rows("SELECT event, physical FROM memstore.mirror_ledger ORDER BY id")]


async def test_up_builds_fills_compares_and_switches(world: World) -> None:
    await world.add(vectors(30))
    await world.add(vectors(5, seed=2), tenant=1)
    await world.scope().add_many([])
    planned = await plan(world.engine, world.milvus)
    assert actions(planned) == BUILDING
    assert await ours.names(world.milvus) == []  # a plan changes nothing
    moved = await move(world.engine, world.milvus)
    assert moved.steps == planned
    assert (moved.before, moved.after) == (None, "0001_unified_memory")
    assert moved.verification is not None
    assert (moved.verification.memories, moved.verification.entities, moved.verification.sampled) == (35, 35, 35)
    assert (moved.verification.found, moved.verification.repaired) == (0, 0)
    assert await world.live() == FIRST
    status = await world.status()
    assert (status.is_whole, status.is_sound, moved.enabled) == (True, False, False)  # nothing is followed
    assert [each for each, _ in await events(world)] == ["building", "verified", "activating", "active"]
    again = await move(world.engine, world.milvus)
    assert (again.steps, again.verification) == ((), None)


async def test_up_and_down_through_a_second_version(world: World, tmp_path: Path) -> None:
    await world.add(vectors(20))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    up = await move(world.engine, world.milvus, chain=world.chain, upwards=True)
    assert (up.before, up.after, actions(up.steps)) == ("0001_unified_memory", "0002_agent", BUILDING)
    assert await world.live() == SECOND
    assert (await events(world))[-3:] == [("activating", SECOND), ("active", SECOND), ("retired", FIRST)]
    await world.add(vectors(10, seed=2), first=20)
    await world.sync()
    for revision in ("0001_unified_memory", "0002_agent"):  # both are kept up to date
        assert ((await world.compare(revision)).entities, (await world.compare(revision)).found) == (30, 0)
    with pytest.raises(MilvusStateError, match="0001_unified_memory is the other way. Type: memstore milvus down 0001"):
        await move(world.engine, world.milvus, "0001", chain=world.chain, upwards=True)
    down = await move(world.engine, world.milvus, "-1", chain=world.chain, upwards=False)
    assert actions(down.steps) == [Action.INDEX, Action.VERIFY, Action.SWITCH]
    assert await world.live() == FIRST
    done = await prune(world.engine, world.milvus, dry_run=True)
    assert (done.dropped, await ours.names(world.milvus)) == ((SECOND,), [FIRST, SECOND])
    done = await prune(world.engine, world.milvus)
    assert (done.dropped, await ours.names(world.milvus)) == ((SECOND,), [FIRST])
    assert (await move(world.engine, world.milvus, chain=world.chain)).after == "0002_agent"  # built anew
    assert (await world.status()).is_whole


async def test_down_to_base_after_a_run_that_ended_when_the_alias_had_moved(world: World, tmp_path: Path) -> None:
    await world.add(vectors(5))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)

    def die(progress: MoveProgress) -> None:
        if progress.step.action is Action.SWITCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await move(world.engine, world.milvus, chain=world.chain, on_progress=die)
    async with open_source(world.engine) as source:
        checksum = world.chain.spec("0002_agent", DIM).checksum()
        await record(source.connection, MirrorEvent.ACTIVATING, SECOND, "0002_agent", checksum)
    await ours.point(world.milvus, ALIAS, SECOND)
    await move(world.engine, world.milvus, "base", chain=world.chain)
    assert ((await world.status()).disagreements, await world.live()) == ((), None)
    await world.sync()
    await move(world.engine, world.milvus, chain=world.chain)
    assert (await world.status()).is_whole


async def test_what_a_restore_has_not_finished_is_said_to_be_that(world: World) -> None:
    properties = {"memstore.revision": "0001_unified_memory", STATE: "restoring"}
    await ours.create(world.milvus, FIRST, spec(DIM), properties)
    assert [each.state for each in (await world.status()).collections] == [BuildState.RESTORING]
    with pytest.raises(MilvusStateError, match=f"{FIRST} is what a restore has not finished. Run it again"):
        await move(world.engine, world.milvus)


async def test_of_two_runs_at_once_the_second_waits_and_has_nothing_to_do(world: World) -> None:
    await world.add(vectors(5))
    one, other = await asyncio.gather(move(world.engine, world.milvus), move(world.engine, world.milvus))
    assert sorted([actions(one.steps), actions(other.steps)]) == [[], BUILDING]
    assert (await world.status()).is_whole


async def test_a_collection_keeps_its_index_whatever_is_wanted_by_now(world: World, tmp_path: Path) -> None:
    await world.add(vectors(5))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    world.milvus.settings = MilvusSettings(uri=world.settings.uri, vector_index=VectorIndexChoice.IVF_FLAT)
    await move(world.engine, world.milvus, chain=world.chain)
    await move(world.engine, world.milvus, "-1", chain=world.chain)
    first, second = (await world.status()).collections
    assert first.vector_index == world.milvus.capabilities.default_index.type
    assert second.vector_index == "IVF_FLAT"


async def test_down_to_base_leads_readers_nowhere_and_drops_nothing(world: World) -> None:
    await world.add(vectors(5))
    await world.follow()
    moved = await move(world.engine, world.milvus, "base")
    assert (moved.after, actions(moved.steps)) == (None, [Action.REMOVE_ALIAS])
    assert (await world.live(), await ours.names(world.milvus)) == (None, [FIRST])
    assert not (await world.status()).is_whole
    back = await move(world.engine, world.milvus)
    assert actions(back.steps) == [Action.INDEX, Action.VERIFY, Action.SWITCH]
    await move(world.engine, world.milvus, "base")
    assert (await prune(world.engine, world.milvus)).dropped == (FIRST,)
    assert actions((await move(world.engine, world.milvus)).steps) == BUILDING


async def test_a_collection_under_the_name_of_the_alias_is_renamed_and_kept(world: World) -> None:
    await world.add(vectors(5))
    await ours.create(world.milvus, ALIAS, spec(DIM), {})
    moved = await move(world.engine, world.milvus)
    assert actions(moved.steps) == [*BUILDING[:-1], Action.RENAME, Action.SWITCH]
    assert await ours.names(world.milvus) == [f"{ALIAS}__0001", f"{ALIAS}_before_memstore_1"]
    assert ("adopted", f"{ALIAS}_before_memstore_1") in await events(world)
    assert await world.live() == FIRST
    assert (await world.status()).is_whole
    assert (await prune(world.engine, world.milvus)).dropped == ()


async def test_somebody_elses_collection_under_our_name_stops_it(world: World) -> None:
    await ours.create(world.milvus, FIRST, spec(DIM), {"made.by": "somebody"})
    with pytest.raises(MilvusStateError, match=f"{FIRST} that memstore did not make. Rename it, or drop it"):
        await move(world.engine, world.milvus)
    assert (await world.live(), await events(world)) == (None, [])
    status = await world.status()
    assert [(each.state, each.is_live) for each in status.collections] == [(BuildState.FOREIGN, False)]
    assert not status.is_whole


async def test_a_half_built_collection_of_other_fields_is_made_anew(world: World) -> None:
    await world.add(vectors(5))
    chain = world.chain
    begun = spec(DIM).without("version")
    properties = {"memstore.revision": chain.head, "memstore.checksum": begun.checksum(), STATE: "building"}
    await ours.create(world.milvus, FIRST, begun, properties)
    async with open_source(world.engine) as source:
        await record(source.connection, MirrorEvent.BUILDING, FIRST, chain.head, begun.checksum())
    assert not (await world.status()).is_whole
    moved = await move(world.engine, world.milvus)
    assert actions(moved.steps) == [Action.DISCARD, *BUILDING]
    assert [each for each, _ in await events(world)][:3] == ["building", "dropped", "building"]
    assert (await world.status()).is_whole


async def test_a_lost_collection_is_said_to_be_lost_and_built_anew_when_asked(world: World) -> None:
    await world.add(vectors(5))
    await world.follow()
    await ours.remove_alias(world.milvus, ALIAS)
    await ours.drop(world.milvus, FIRST)
    status = await world.status()
    assert len(status.disagreements) == 2
    with pytest.raises(MilvusStateError) as caught:
        await move(world.engine, world.milvus)
    assert "PostgreSQL's ledger says that memories_unified leads to memories_unified__0001" in str(caught.value)
    assert "Milvus has no such collection" in str(caught.value)
    assert "memstore milvus up --rebuild" in str(caught.value)
    moved = await move(world.engine, world.milvus, rebuild=True)
    assert actions(moved.steps) == [Action.FORGET, *BUILDING]
    assert (await world.status()).is_whole


async def test_a_checksum_that_is_not_the_ledgers_is_an_error_that_says_which(world: World) -> None:
    await world.follow()
    await ours.set_properties(world.milvus, FIRST, {"memstore.checksum": "f" * 64})
    with pytest.raises(MilvusStateError, match="PostgreSQL's ledger has .*, Milvus as .* checksum ffffffffffff"):
        await move(world.engine, world.milvus)


async def test_an_alias_that_somebody_moved_is_an_error_that_says_where(world: World) -> None:
    await world.follow()
    await ours.create(world.milvus, "mine", spec(DIM), {})
    await ours.point(world.milvus, ALIAS, "mine")
    with pytest.raises(MilvusStateError, match=f"leads to {FIRST}, in Milvus it leads to mine"):
        await move(world.engine, world.milvus)


async def test_a_version_of_another_content_is_refused(world: World, tmp_path: Path) -> None:
    await world.follow()
    first = VERSIONS / "0001_unified_memory.py"
    (tmp_path / first.name).write_text(first.read_text().replace("WORD = 32", "WORD = 64"))
    with pytest.raises(MilvusStateError, match="was made of another content of 0001_unified_memory"):
        await move(world.engine, world.milvus, chain=load_chain(tmp_path))


async def test_a_ledger_that_was_lost_is_made_anew_after_everything_was_compared(world: World) -> None:
    names = await world.add(vectors(5))
    await world.follow()
    await world.sync()
    await world.execute("DELETE FROM memstore.mirror_ledger", "TRUNCATE memstore.mirror_outbox")
    await world.scope().delete(names[0], hard=True)
    await world.execute("TRUNCATE memstore.mirror_outbox")
    with pytest.raises(MilvusStateError, match=f"leads to nothing, in Milvus it leads to {FIRST}"):
        await move(world.engine, world.milvus)
    moved = await move(world.engine, world.milvus, rebuild=True)
    assert actions(moved.steps) == [Action.INDEX, Action.FILL, Action.VERIFY, Action.SWITCH]
    assert moved.verification is not None
    assert (moved.verification.entities, moved.verification.repaired) == (5, 1)
    assert (await world.status()).is_whole
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_what_was_deleted_and_added_again_unseen_is_found_and_mended(world: World) -> None:
    """The new one is at version 1 too."""
    names = await world.add(vectors(30), created_at=LONG_AGO)
    await world.follow()
    await world.sync()
    await disable_mirror(world.engine)
    await world.scope().delete(names[3], hard=True)
    await world.scope().add(memory(3, vectors(1, seed=8)[0]))
    await world.scope().record_access(names[5])
    found = await verify(world.engine, world.milvus)
    assert {(each.problem, each.node_id) for each in found.differences} == {
        (Problem.STALE, names[3]),
        (Problem.STALE, names[5]),
    }
    assert (await verify(world.engine, world.milvus, repair=True)).repaired == 2
    assert (await verify(world.engine, world.milvus)).found == 0


async def test_one_changed_field_in_a_sample_has_all_filled_again(world: World) -> None:
    await world.add(vectors(30))
    await world.follow()
    await world.sync()
    await move(world.engine, world.milvus, "base")
    rows = [row async for page in entity_store.scan(world.milvus, FIRST, ["*"]) for row in page]
    for row in rows:
        row["embedding"] = [1.0] * DIM
    await entity_store.upsert(world.milvus, FIRST, rows)
    moved = await move(world.engine, world.milvus)
    assert moved.verification is not None
    assert {each.problem for each in moved.verification.differences} == {Problem.CHANGED}
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_a_run_that_ended_when_the_alias_had_moved_stops_nobody(world: World, tmp_path: Path) -> None:
    await world.add(vectors(5))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    with pytest.raises(_KilledError):
        await move(world.engine, world.milvus, chain=world.chain, on_progress=_die_before_switching)
    async with open_source(world.engine) as source:
        spec = world.chain.spec("0002_agent", DIM)
        await record(source.connection, MirrorEvent.ACTIVATING, SECOND, "0002_agent", spec.checksum())
    await ours.point(world.milvus, ALIAS, SECOND)
    assert (await prune(world.engine, world.milvus)).dropped == (FIRST,)
    assert (await world.status()).disagreements == ()
    assert actions((await move(world.engine, world.milvus, chain=world.chain)).steps) == [Action.SWITCH]


class _KilledError(BaseException):
    pass


def _die_before_switching(progress: MoveProgress) -> None:
    if progress.step.action is Action.SWITCH:
        raise _KilledError
