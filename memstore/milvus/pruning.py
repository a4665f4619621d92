"""Dropping the collections that were kept for the way back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models import MirrorEvent
from . import collections
from .ledger import record, seconds_since_switch
from .reader import KNOWN_FOR_S
from .shards import MOVING, locked
from .source import open_source
from .state import BuildState, check_agreement, read_state

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .client import Milvus
    from .source import Source

READERS_FOLLOW_WITHIN_S = 2 * KNOWN_FOR_S


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or with `dry_run` would be, by physical names; and what stays, with the reason."""

    dropped: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    dry_run: bool


async def prune(engine: AsyncEngine, milvus: Milvus, *, dry_run: bool = False) -> Pruned:
    """Drop memstore's collections that readers are not led to: there is no quick way back to them after this.

    Right after a switch it waits for two seconds, until every reader has followed: in a collection that is being
    dropped a search finds nothing on Milvus Lite, and there is no error.

    Raises:
        MilvusStateError: Milvus and PostgreSQL's ledger do not agree.
        MirrorError: another run is changing collections.
    """
    async with open_source(engine) as source, locked(source.connection, MOVING):
        state = await read_state(source, milvus)
        check_agreement(state)
        if not dry_run:
            await _let_readers_follow(source)
        dropped: list[str] = []
        kept: list[tuple[str, str]] = []
        for name, physical in state.physicals.items():
            if name == state.target:
                kept.append((name, "readers are led to it"))
            elif physical.state is BuildState.FOREIGN:
                kept.append((name, "memstore did not make it"))
            else:
                dropped.append(name)
                if not dry_run:
                    # First: the relay writes to what the ledger has.
                    if name in state.ledger.kept:
                        old = state.ledger.kept[name]
                        await record(source.connection, MirrorEvent.DROPPED, name, old.revision, old.checksum)
                    await collections.drop(milvus, name)
        return Pruned(tuple(dropped), tuple(kept), dry_run)


async def _let_readers_follow(source: Source) -> None:
    since = await seconds_since_switch(source.connection)
    if since is not None and since < READERS_FOLLOW_WITHIN_S:
        await asyncio.sleep(READERS_FOLLOW_WITHIN_S - since)
