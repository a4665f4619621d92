"""The relay: what the outbox says has changed, as it is now, into every collection that is kept."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import MilvusRefusedError, MilvusUnreachableError, MirrorError
from . import collections, entity_store, outbox
from .copying import SET_ASIDE_AFTER, Target, copy
from .entity_store import BATCH
from .ledger import read_ledger
from .naming import ALIAS
from .revisions import load_chain
from .shards import try_lock, unlock
from .source import SHARDS, open_source
from .state import check_agreement, read_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from .client import Milvus
    from .revisions import Chain
    from .source import Source

DEFAULT_BATCH_SIZE = BATCH
MAX_BATCH_SIZE = 5_000
ATTEMPTS = 8
LONGEST_PAUSE_S = 10.0
IDLE_S = 0.5
_SHORTEST_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Synced:
    """What a relay did; every number was counted.

    entries: changes taken out of the outbox, after Milvus had acknowledged them.
    upserted: memories written, and `deleted`: taken out or made sure to be gone, once for each time and collection.
    rejected: memories set aside because Milvus cannot hold them.
    retries: how often something was tried again.
    left: changes in the outbox at the end, which somebody else may be at.
    """

    entries: int = 0
    upserted: int = 0
    deleted: int = 0
    rejected: int = 0
    retries: int = 0
    left: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How a relay works.

    batch_size: changes taken at once, 1 to 5,000.
    follow: go on waiting for changes until `stop`, instead of ending when there are none.
    attempts: how often what fails is tried, with growing pauses, before the relay gives up; when it follows it never
        does. Tenants of other shards do not wait for it.
    """

    batch_size: int = DEFAULT_BATCH_SIZE
    follow: bool = False
    attempts: int = ATTEMPTS

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise MirrorError(f"the batch size is {self.batch_size}. Needed: 1 to {MAX_BATCH_SIZE:,}")


async def sync(
    engine: AsyncEngine,
    milvus: Milvus,
    options: SyncOptions = SyncOptions(),
    *,
    chain: Chain | None = None,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[Synced], None] = lambda _: None,
    on_trouble: Callable[[Exception], None] = lambda _: None,
) -> Synced:
    """Drain the outbox into the collections that the ledger has. Several at once share the work, by shards of tenants.

    A change is taken out only after Milvus has acknowledged what it led to; a relay that was killed is followed by
    another, which does its batch again.

    Args:
        engine: connects as the owner of the tables.
        milvus: where to.
        options: how.
        chain: the versions of the collection; memstore's own when None.
        stop: when set, the relay ends after its batch.
        on_progress: called after each batch.
        on_trouble: called with each error before it is tried again.

    Raises:
        MirrorError: the mirror is not enabled, or has no collection yet.
        MilvusStateError: Milvus and PostgreSQL's ledger do not agree.
        MilvusUnreachableError, MilvusRefusedError: Milvus kept failing; what was not acknowledged is in the outbox.
    """
    relay = _Relay(milvus, options, chain or load_chain(), stop or asyncio.Event(), on_progress, on_trouble)
    async with open_source(engine) as source:
        return await relay.run(source)


@dataclass(frozen=True, slots=True)
class _Failure:
    """That a shard could not be followed: how many times in a row, and when it is tried again."""

    times: int
    again_at: float


class _Relay:
    def __init__(
        self,
        milvus: Milvus,
        options: SyncOptions,
        chain: Chain,
        stop: asyncio.Event,
        on_progress: Callable[[Synced], None],
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self._milvus, self._options, self._chain, self._stop = milvus, options, chain, stop
        self._on_progress, self._on_trouble = on_progress, on_trouble
        self._done = Synced()
        self._began = monotonic()
        self._loaded: set[str] = set()
        self._failed: dict[int, _Failure] = {}

    async def run(self, source: Source) -> Synced:
        await self._check(source)
        while not self._stop.is_set():
            before = self._done.entries
            for shard in random.sample(range(SHARDS), SHARDS):  # two relays do not queue for the same one
                if not self._stop.is_set():
                    await self._drain(source, shard)
            if self._done.entries > before:
                continue
            if not self._failed and not self._options.follow:
                break
            # Not until the shards that failed are tried again: others go on.
            due = [each.again_at - monotonic() for each in self._failed.values()]
            await self._pause(min([IDLE_S, *(max(_SHORTEST_PAUSE_S, each) for each in due)]))
        left = (await outbox.lag(source)).entries
        self._done = replace(self._done, left=left, seconds=monotonic() - self._began)
        return self._done

    async def _check(self, source: Source) -> None:
        if not await outbox.is_enabled(source):
            raise MirrorError("changes to memories are not written down for the mirror. Run: memstore milvus enable")
        check_agreement(await read_state(source, self._milvus))
        if not await self._targets(source):
            raise MirrorError("there is no collection to write to. Run: memstore milvus up")

    async def _targets(self, source: Source) -> list[Target]:
        """Return what is written to: asked anew for each batch, for a version may have come or gone since."""
        kept = (await read_ledger(source.connection, ALIAS)).kept.values()
        targets = [Target(each.physical, self._chain.spec(each.revision, source.dimensions)) for each in kept]
        for target in targets:
            if target.name not in self._loaded:
                await collections.load(self._milvus, target.name)  # Milvus Lite forgets that it was
                if self._failed:  # it may be another one of that name by now
                    await entity_store.forget_fields(self._milvus, target.name)
                self._loaded.add(target.name)
        return targets

    async def _drain(self, source: Source, shard: int) -> None:
        """Follow the changes of a shard, until there are none, or something fails: others do not wait for that."""
        if shard in self._failed and monotonic() < self._failed[shard].again_at:
            return
        more = bool(await outbox.next_entries(source, shard, 1))
        if not more:
            self._failed.pop(shard, None)
        # Let go between batches: who fills or compares a collection waits for its turn.
        while more and not self._stop.is_set() and await try_lock(source.connection, shard):
            try:
                more = await self._batch(source, shard)
                self._failed.pop(shard, None)
            except (MilvusUnreachableError, MilvusRefusedError) as error:
                self._note(shard, error)
                return
            finally:
                await unlock(source.connection, shard)
            self._on_progress(replace(self._done, seconds=monotonic() - self._began))

    def _note(self, shard: int, error: MilvusUnreachableError | MilvusRefusedError) -> None:
        """Write down that a shard is to be tried again, later each time; raise where that was often enough."""
        times = 1 + (self._failed[shard].times if shard in self._failed else 0)
        if times >= self._options.attempts and not self._options.follow:
            raise error
        self._on_trouble(error)
        self._loaded.clear()  # the collection may be another one by now, or a server that has started anew
        self._failed[shard] = _Failure(times, monotonic() + min(LONGEST_PAUSE_S, 0.1 * 2**times))
        self._done = replace(self._done, retries=self._done.retries + 1)

    async def _batch(self, source: Source, shard: int) -> bool:
        # After a failure one by one, so that one memory that Milvus refuses is told from the others.
        times = self._failed[shard].times if shard in self._failed else 0
        entries = await outbox.next_entries(source, shard, 1 if times else self._options.batch_size)
        if not entries:
            return False
        keys = list(dict.fromkeys(each.key for each in entries))
        targets = await self._targets(source)
        if not targets:
            raise MirrorError("the last collection was dropped: nothing to write to. Run: memstore milvus up")
        is_last_try = times >= SET_ASIDE_AFTER
        copied = [await copy(source, self._milvus, target, keys, set_aside=is_last_try) for target in targets]
        rejections = [rejection for each in copied for rejection in each.rejections]
        await outbox.settle(source, entries, rejections)
        done = self._done
        self._done = replace(
            done,
            entries=done.entries + len(entries),
            upserted=done.upserted + sum(each.upserted for each in copied),
            deleted=done.deleted + sum(each.deleted for each in copied),
            rejected=done.rejected + len({(each.tenant_id, each.node_id) for each in rejections}),
        )
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
