"""How the mirror stands, for whoever looks after it; and comparing it as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import MilvusStateError
from . import collections, entity_store, outbox
from .comparing import Verification, verify_content
from .copying import Target
from .engine import Engine, index_of
from .fill import fill
from .revisions import load_chain
from .source import open_source
from .state import INDEX, BuildState, check_agreement, disagreements, read_state, schema_differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from .client import Milvus
    from .outbox import Lag
    from .revisions import Chain
    from .state import Physical


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """A collection that is called as memstore's are.

    state: how far it is, as it says; is_live: whether readers are led to it.
    entities: counted at Strong consistency; None where that cannot be asked.
    problems: in what it is not what its version says.
    """

    name: str
    revision: str | None
    state: BuildState
    is_live: bool
    entities: int | None
    vector_index: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """How the mirror stands.

    server: what Milvus says that it is.
    enabled: whether changes to memories are written down.
    live: the version that readers are led to; head: the newest that this memstore has.
    disagreements: where Milvus and PostgreSQL's ledger do not agree.
    """

    alias: str
    uri: str
    server: str
    engine: Engine
    enabled: bool
    live: str | None
    head: str
    memories: int
    lag: Lag
    collections: tuple[CollectionStatus, ...]
    disagreements: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether readers are led to a whole collection that is what it should be, and nothing disagrees."""
        live = [each for each in self.collections if each.is_live]
        whole = bool(live) and all(each.state is BuildState.COMPLETE and not each.problems for each in live)
        return whole and not self.disagreements

    @property
    def is_sound(self) -> bool:
        """Whether it is whole, and changes to memories are followed."""
        return self.is_whole and self.enabled


async def status(engine: AsyncEngine, milvus: Milvus, *, chain: Chain | None = None) -> MirrorStatus:
    """Say how the mirror stands. Changes nothing, but that a Milvus Lite loads memstore's own collections to count."""
    chain = chain or load_chain()
    async with open_source(engine) as source:
        state = await read_state(source, milvus)
        found = []
        for physical in state.physicals.values():
            problems: list[str] = []
            if physical.state is not BuildState.FOREIGN and physical.revision is not None:
                problems = await problems_of(milvus, chain, physical.name, physical.revision, source.dimensions)
            found.append(
                CollectionStatus(
                    name=physical.name,
                    revision=physical.revision,
                    state=physical.state,
                    is_live=physical.name == state.target,
                    entities=await _entities(milvus, physical),
                    vector_index=physical.found.indexes.get("embedding"),
                    problems=tuple(problems),
                )
            )
        return MirrorStatus(
            alias=state.alias,
            uri=milvus.settings.uri,
            server=milvus.capabilities.said,
            engine=milvus.capabilities.engine,
            enabled=await outbox.is_enabled(source),
            live=state.active.revision if state.active else None,
            head=chain.head,
            memories=await source.count(),
            lag=await outbox.lag(source),
            collections=tuple(found),
            disagreements=tuple(disagreements(state)),
        )


async def verify(
    engine: AsyncEngine,
    milvus: Milvus,
    *,
    repair: bool = False,
    chain: Chain | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Verification:
    """Compare the collection that readers are led to with PostgreSQL: its fields, its indexes, and every memory.

    With `repair` what differs is written, or deleted; where a field of one memory differs, all are written anew.
    `on_progress` is called with how much was compared, and of what.

    Raises:
        MilvusStateError: there is none, its fields or indexes are others, or Milvus and the ledger do not agree.
        MirrorError: a relay holds the memories for too long.
    """
    chain = chain or load_chain()
    async with open_source(engine) as source:
        state = await read_state(source, milvus)
        check_agreement(state)
        live = state.active
        if live is None or live.revision is None:
            raise MilvusStateError(f"{state.alias} leads to no collection of memstore's. Run: memstore milvus up")
        problems = await problems_of(milvus, chain, live.name, live.revision, source.dimensions)
        if problems:
            raise MilvusStateError(f"{live.name} is not what {live.revision} makes: {'; '.join(problems)}")
        await collections.load(milvus, live.name)
        total = 2 * await source.count()
        target = Target(live.name, chain.spec(live.revision, source.dimensions))
        result = await verify_content(
            source, milvus, target, repair=repair, on_progress=lambda done: on_progress(done, total)
        )
        if repair and result.changed:  # seen in a sample: what else has changed nobody knows
            result.filled = await fill(source, milvus, target)
        return result


async def problems_of(milvus: Milvus, chain: Chain, name: str, revision: str, dimensions: int) -> list[str]:
    """Say in what the fields and indexes of a collection are not what its version makes, one line each."""
    try:
        spec = chain.spec(revision, dimensions)
    except MilvusStateError as error:
        return [str(error)]  # of a newer memstore
    found = await collections.describe(milvus, name)
    problems = schema_differences(found, spec, counts_shards=milvus.capabilities.engine is Engine.SERVER)
    try:
        await collections.check_indexes(milvus, name, spec, index_of(found.properties.get(INDEX, "")))
    except MilvusStateError as error:
        problems.append(str(error).removeprefix(f"{name}: "))
    return problems


async def _entities(milvus: Milvus, physical: Physical) -> int | None:
    if (
        milvus.capabilities.engine is Engine.LITE
        and physical.state is not BuildState.FOREIGN
        and physical.found.indexes
    ):
        await collections.load(milvus, physical.name)  # it forgets that it was, and others share none of it
    if not await collections.is_loaded(milvus, physical.name):
        return None
    return await entity_store.count(milvus, physical.name)
