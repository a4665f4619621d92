"""Dropping the collections that were kept for the way back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models import MirrorEvent
from . import collections
from .ledger import record
from .naming import physical_name
from .reader import KNOWN_FOR_S
from .shards import MOVING, locked
from .source import open_source
from .state import BuildState, check_agreement, read_state

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .client import Milvus
    from .state import MirrorState

READERS_FOLLOW_WITHIN_S = 2 * KNOWN_FOR_S


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or with `dry_run` would be, by physical names; and what stays, with the reason."""

    dropped: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    dry_run: bool


async def prune(engine: AsyncEngine, milvus: Milvus, *, dry_run: bool = False, rebuild: bool = False) -> Pruned:
    """Drop memstore's collections that readers are not led to: there is no quick way back to them after this.

    Before it drops anything it waits for two seconds, until readers have followed a switch that was just made: in a
    collection that is being dropped a search finds nothing on Milvus Lite, and there is no error.

    Args:
        engine: connects as the owner of the tables.
        milvus: where the collections are.
        dry_run: say what would be dropped, and drop nothing.
        rebuild: take what Milvus has for true where PostgreSQL's ledger says otherwise.

    Raises:
        MilvusStateError: Milvus and PostgreSQL's ledger do not agree.
        MirrorError: another run is changing collections.
    """
    async with open_source(engine) as source, locked(source.connection, MOVING):
        state = await read_state(source, milvus)
        if not rebuild:
            check_agreement(state)
        reasons = {name: await _reason_to_keep(state, milvus, name) for name in state.physicals}
        dropped = [name for name, reason in reasons.items() if reason is None]
        if dropped and not dry_run:
            await asyncio.sleep(READERS_FOLLOW_WITHIN_S)
            for name in dropped:
                # First: the relay writes to what the ledger has.
                if name in state.ledger.kept:
                    old = state.ledger.kept[name]
                    await record(source.connection, MirrorEvent.DROPPED, name, old.revision, old.checksum)
                await collections.drop(milvus, name)
        kept = tuple((name, reason) for name, reason in reasons.items() if reason is not None)
        return Pruned(tuple(dropped), kept, dry_run)


async def _reason_to_keep(state: MirrorState, milvus: Milvus, name: str) -> str | None:
    physical = state.physicals[name]
    if name == state.target:
        return "readers are led to it"
    if physical.state is BuildState.FOREIGN:
        return "memstore did not make it"
    if physical.state is BuildState.RESTORING:
        return "a restore has not finished it"
    if name not in state.ledger.kept and name != physical_name(physical.revision or "", state.alias):
        return f"it is a copy of {physical.revision}, under another name"
    if aliases := await collections.aliases_of(milvus, name):
        return f"{', '.join(aliases)} leads to it"
    return None
