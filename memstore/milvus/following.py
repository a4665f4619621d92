"""Turning the mirror on and off: whether changes to memories are written down for the relay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import outbox
from .source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class Enabled:
    """What turning the mirror on did: whether it was on before, and how many memories were enqueued."""

    was_enabled: bool
    enqueued: int


async def enable_mirror(engine: AsyncEngine, *, on_enqueued: Callable[[int], None] = lambda _: None) -> Enabled:
    """Write changes to memories down from now on, and enqueue what is there. Safe while the database is used.

    Doing it again enqueues everything again, which has the relay look at it again.

    Raises:
        MirrorError: memories are written to without a pause for a lock of an instant.
        PermissionDeniedError, SchemaMismatchError: the role may not, or the schema is older.
    """
    async with open_source(engine) as source:
        was_enabled = await outbox.is_enabled(source)
        return Enabled(was_enabled, await outbox.enable(source, on_enqueued=on_enqueued))


async def disable_mirror(engine: AsyncEngine) -> bool:
    """Write no more changes down; return whether they were before. Raises as `enable_mirror`."""
    async with open_source(engine) as source:
        was_enabled = await outbox.is_enabled(source)
        await outbox.disable(source)
        return was_enabled
