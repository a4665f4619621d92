"""A move that ends at any of its steps, and the same move again."""

from __future__ import annotations

from pathlib import Path

import pytest

from memstore.milvus import Action, MoveProgress, move
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import World, vectors


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize(
    ("after", "within"),
    [
        (Action.CREATE, False),
        (Action.INDEX, False),
        (Action.FILL, False),
        (Action.FILL, True),
        (Action.VERIFY, False),
        (Action.VERIFY, True),
        (Action.SWITCH, False),
    ],
)
async def test_a_move_that_ended_at_a_step_is_finished_by_the_next(
    world: World, tmp_path: Path, after: Action, within: bool
) -> None:
    """Within a step: at its first report, when it has written or compared something."""
    await world.add(vectors(40))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)

    def die(progress: MoveProgress) -> None:
        if progress.step.action is after and (progress.total is not None) is within:
            raise _KilledError

    with pytest.raises(_KilledError):
        await move(world.engine, world.milvus, chain=world.chain, on_progress=die)
    assert await world.live() == "memories_unified__0001"
    before = await world.status()
    assert (before.live, before.disagreements) == ("0001_unified_memory", ())
    await world.add(vectors(10, seed=5), first=40)
    await world.sync()
    moved = await move(world.engine, world.milvus, chain=world.chain)
    assert moved.after == "0002_agent"
    status = await world.status()
    assert status.is_whole
    assert await world.live() == "memories_unified__0002"
    for revision in ("0001_unified_memory", "0002_agent"):
        assert (await world.compare(revision)).found == 0
