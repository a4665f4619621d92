"""What PostgreSQL remembers of collections: every event, in order; what Milvus says must agree with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..models import MirrorEvent
from ..version import __version__
from .naming import ALIAS

if TYPE_CHECKING:
    import asyncpg

_READ = """
    SELECT physical, revision, checksum, event FROM memstore.mirror_ledger WHERE collection = $1 ORDER BY id
"""
_WRITE = """
    INSERT INTO memstore.mirror_ledger (collection, physical, revision, checksum, event, package_version)
    VALUES ($1, $2, $3, $4, $5, $6)
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A collection as the ledger has it: what it was made as, and what happened to it last."""

    physical: str
    revision: str
    checksum: str
    event: MirrorEvent


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says.

    kept: the collections that are there, by their physical names, and are written to by the relay.
    active: which of them readers are led to; None: none.
    activating: which of them a run was about to lead readers to, and has not said that it did.
    retiring: which one a run was about to lead readers away from, to nothing.
    """

    kept: dict[str, Recorded] = field(default_factory=dict)
    active: str | None = None
    activating: str | None = None
    retiring: str | None = None


async def read_ledger(connection: asyncpg.Connection, alias: str = ALIAS) -> Ledger:
    """Read what happened to the collections of an alias, and fold it into what they are now."""
    kept: dict[str, Recorded] = {}
    active: str | None = None
    activating: str | None = None
    retiring: str | None = None
    for physical, revision, checksum, name in await connection.fetch(_READ, alias):
        event = MirrorEvent(name)
        if event is MirrorEvent.DROPPED:
            kept.pop(physical, None)
        elif event is not MirrorEvent.ADOPTED:  # somebody else's, renamed
            kept[physical] = Recorded(physical, revision, checksum, event)
        if event is MirrorEvent.ACTIVATING:
            activating = physical
        elif event is MirrorEvent.ACTIVE:
            active, activating, retiring = physical, None, None
        elif event is MirrorEvent.RETIRED and active == physical:
            active, retiring = None, physical
        elif event is MirrorEvent.DROPPED:
            active, activating, retiring = (
                None if each == physical else each for each in (active, activating, retiring)
            )
    return Ledger(kept, active, activating, retiring)


async def record(
    connection: asyncpg.Connection, event: MirrorEvent, physical: str, revision: str, checksum: str, alias: str = ALIAS
) -> None:
    """Write an event."""
    await connection.execute(_WRITE, alias, physical, revision, checksum, event.value, __version__)
