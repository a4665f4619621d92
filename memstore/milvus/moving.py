"""Leading readers from one version of the collection to another, up or down, without a stop."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import MilvusStateError
from ..models import MirrorEvent
from . import collections, outbox
from .comparing import verify_content
from .copying import Target
from .engine import Engine, index_of
from .fill import fill
from .inspecting import problems_of
from .ledger import record
from .naming import ALIAS, adopted_name
from .revisions import load_chain
from .shards import MOVING, locked
from .source import open_source
from .state import INDEX, STATE, BuildState, check_agreement, properties_of, read_state
from .steps import Action, plan_move

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from .client import Milvus
    from .comparing import Verification
    from .engine import VectorIndex
    from .fields import CollectionSpec
    from .revisions import Chain
    from .source import Source
    from .state import Physical
    from .steps import MoveStep


PREVIOUS = "-1"


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """How far a step is: memories done, of how many there were; `total` is None for what takes no time."""

    step: MoveStep
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did: its steps, and what was compared.

    before, after: which versions readers were and are led to; None: none.
    verification: of the collection that they are led to now, where one was built.
    enabled: whether changes to memories are written down for it.
    """

    before: str | None
    after: str | None
    steps: tuple[MoveStep, ...]
    verification: Verification | None
    enabled: bool
    seconds: float


async def plan(
    engine: AsyncEngine, milvus: Milvus, target: str = "head", *, chain: Chain | None = None, rebuild: bool = False
) -> tuple[MoveStep, ...]:
    """Return what `move` would do; changes nothing.

    Raises:
        MilvusStateError: it cannot be done as things stand.
    """
    chain = chain or load_chain()
    async with open_source(engine) as source:
        live = (await read_state(source, milvus)).active
        return await _planned(source, milvus, chain, _resolved(chain, live, target), rebuild=rebuild)


async def move(
    engine: AsyncEngine,
    milvus: Milvus,
    target: str = "head",
    *,
    chain: Chain | None = None,
    rebuild: bool = False,
    upwards: bool | None = None,
    on_progress: Callable[[MoveProgress], None] = lambda _: None,
) -> Moved:
    """Lead readers to a version of the collection: up or down, to `head`, to `base` (none), or to an id.

    A version that is not there is built beside the one in use, filled from PostgreSQL, compared with it, and put in its
    place in one step; the other one stays, and is kept up to date, until `prune`. A run that was killed is run again.

    Args:
        engine: connects as the owner of the tables.
        milvus: where the collections are.
        target: which version; "-1" is the one before.
        chain: the versions; memstore's own when None.
        rebuild: take what Milvus has for true where PostgreSQL's ledger says otherwise.
        upwards: refuse to go down (True), or up (False); None: either.
        on_progress: called as each step begins, and within the long ones.

    Raises:
        MilvusStateError: Milvus and the ledger do not agree, a collection is in the way, or the new one is not equal.
        MirrorError: another run is at it.
    """
    chain = chain or load_chain()
    began = monotonic()
    async with open_source(engine) as source, locked(source.connection, MOVING):
        before = (await read_state(source, milvus)).active
        revision = _resolved(chain, before, target)
        steps = await _planned(source, milvus, chain, revision, rebuild=rebuild)
        _check_direction(chain, before.revision if before else None, revision, upwards)
        run = _Run(source, milvus, chain, on_progress)
        for step in steps:
            await run.take(step)
        return Moved(
            before=before.revision if before else None,
            after=revision,
            steps=steps,
            verification=run.verification,
            enabled=await outbox.is_enabled(source),
            seconds=monotonic() - began,
        )


def _resolved(chain: Chain, live: Physical | None, target: str) -> str | None:
    if target != PREVIOUS:
        return chain.resolve(target)
    if live is None or live.revision is None:
        raise MilvusStateError("readers are led to nothing: there is no version before that")
    return chain.before(live.revision)


def _check_direction(chain: Chain, before: str | None, after: str | None, upwards: bool | None) -> None:
    if upwards is None or before == after:
        return
    if upwards != (chain.place(after) > chain.place(before)):
        right = "down" if upwards else "up"
        raise MilvusStateError(
            f"readers are led to {before or 'nothing'}; {after or 'nothing'} is the other way. Type: memstore milvus "
            f"{right} {after or 'base'}"
        )


async def _planned(
    source: Source, milvus: Milvus, chain: Chain, revision: str | None, *, rebuild: bool
) -> tuple[MoveStep, ...]:
    state = await read_state(source, milvus)
    if not rebuild:
        check_agreement(state)
    is_server = milvus.capabilities.engine is Engine.SERVER
    return plan_move(state, chain, revision, source.dimensions, is_server=is_server, rebuild=rebuild)


class _Run:
    """The steps of a move. Each leaves what a run that is killed after it can be told by."""

    def __init__(
        self, source: Source, milvus: Milvus, chain: Chain, on_progress: Callable[[MoveProgress], None]
    ) -> None:
        self._source, self._milvus, self._chain, self._on_progress = source, milvus, chain, on_progress
        self.verification: Verification | None = None

    async def take(self, step: MoveStep) -> None:
        self._on_progress(MoveProgress(step, 0, None))
        takes: dict[Action, Callable[[MoveStep], Awaitable[None]]] = {
            Action.FORGET: self._forget,
            Action.DISCARD: self._discard,
            Action.CREATE: self._create,
            Action.INDEX: self._index,
            Action.FILL: self._fill,
            Action.VERIFY: self._verify,
            Action.RENAME: self._rename,
            Action.SWITCH: self._switch,
            Action.REMOVE_ALIAS: self._remove_alias,
        }
        await takes[step.action](step)

    async def _forget(self, step: MoveStep) -> None:
        await self._record(MirrorEvent.DROPPED, step.physical, step.revision or "", "")

    async def _discard(self, step: MoveStep) -> None:
        await self._record(MirrorEvent.DROPPED, step.physical, step.revision or "", "")
        await collections.drop(self._milvus, step.physical)

    async def _create(self, step: MoveStep) -> None:
        spec = self._spec(step)
        index = self._milvus.capabilities.vector_index(self._milvus.settings.vector_index)
        properties = properties_of(step.revision or "", spec, index, BuildState.BUILDING)
        await collections.create(self._milvus, step.physical, spec, properties)

    async def _index(self, step: MoveStep) -> None:
        await collections.ensure_indexes(self._milvus, step.physical, self._spec(step), await self._index_of(step))
        # From here on the relay writes to it too, so that nothing is missed that changes behind the fill.
        ledger = (await read_state(self._source, self._milvus)).ledger
        if step.physical not in ledger.kept:
            await self._record_step(MirrorEvent.BUILDING, step)

    async def _fill(self, step: MoveStep) -> None:
        total = await self._source.count()
        await fill(
            self._source,
            self._milvus,
            self._target(step),
            on_progress=lambda done: self._on_progress(MoveProgress(step, done, total)),
        )
        await collections.settle(self._milvus, step.physical)

    async def _verify(self, step: MoveStep) -> None:
        self.verification = await self._compared(step, repair=True)
        if self.verification.changed:
            await self._fill(step)  # seen in a sample: what else has changed nobody knows
        if self.verification.found:
            again = await self._compared(step, repair=False)
            if again.found:
                first = again.differences[0]
                raise MilvusStateError(
                    f"{step.physical} is not equal to PostgreSQL: {again.found:,} differences, the first: "
                    f"{first.problem} {first.node_id}: {first.detail}. Readers stay where they are. Run this again; "
                    "where changes to memories are not followed, type before that: memstore milvus enable"
                )
        problems = await problems_of(
            self._milvus, self._chain, step.physical, step.revision or "", self._source.dimensions
        )
        if problems:
            raise MilvusStateError(f"{step.physical} is not what {step.revision} makes: {'; '.join(problems)}")
        await collections.set_properties(self._milvus, step.physical, {STATE: BuildState.COMPLETE.value})
        await self._record_step(MirrorEvent.VERIFIED, step)

    async def _compared(self, step: MoveStep, *, repair: bool) -> Verification:
        total = 2 * await self._source.count()
        return await verify_content(
            self._source,
            self._milvus,
            self._target(step),
            repair=repair,
            on_progress=lambda done: self._on_progress(MoveProgress(step, done, total)),
        )

    async def _rename(self, step: MoveStep) -> None:
        new_name = adopted_name(await collections.names(self._milvus), step.physical)
        await collections.rename(self._milvus, step.physical, new_name)
        await self._record(MirrorEvent.ADOPTED, new_name, "", "")

    async def _switch(self, step: MoveStep) -> None:
        before = (await read_state(self._source, self._milvus)).ledger
        await self._record_step(MirrorEvent.ACTIVATING, step)
        await collections.point(self._milvus, ALIAS, step.physical)
        await self._record_step(MirrorEvent.ACTIVE, step)
        if before.active is not None and before.active != step.physical and before.active in before.kept:
            old = before.kept[before.active]
            await self._record(MirrorEvent.RETIRED, old.physical, old.revision, old.checksum)

    async def _remove_alias(self, _: MoveStep) -> None:
        # Not what the step is about: the alias may lead elsewhere, after a run that was killed or by somebody's hand.
        ledger = (await read_state(self._source, self._milvus)).ledger
        if ledger.active is not None and ledger.active in ledger.kept:
            old = ledger.kept[ledger.active]
            await self._record(MirrorEvent.RETIRED, old.physical, old.revision, old.checksum)
        await collections.remove_alias(self._milvus, ALIAS)

    def _spec(self, step: MoveStep) -> CollectionSpec:
        return self._chain.spec(step.revision or "", self._source.dimensions)

    def _target(self, step: MoveStep) -> Target:
        return Target(step.physical, self._spec(step))

    async def _index_of(self, step: MoveStep) -> VectorIndex:
        """Return the vector index that the collection was begun with, whatever is wanted of new ones by now."""
        found = await collections.describe(self._milvus, step.physical)
        return index_of(found.properties.get(INDEX) or found.indexes.get("embedding", ""))

    async def _record_step(self, event: MirrorEvent, step: MoveStep) -> None:
        await self._record(event, step.physical, step.revision or "", self._spec(step).checksum())

    async def _record(self, event: MirrorEvent, physical: str, revision: str, checksum: str) -> None:
        await record(self._source.connection, event, physical, revision, checksum)
