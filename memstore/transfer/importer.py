"""Importing a file corpus into one tenant's memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..migrations import verify_schema
from .corpus import check_corpus, open_corpus
from .writer import Batch, open_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

DEFAULT_BATCH_SIZE = 2_000
MAX_BATCH_SIZE = 100_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: `phase` is "check" or "write", counted in nodes."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, or with `dry_run` would do; every number was counted.

    read: nodes in the corpus.
    inserted: rows that were not there before.
    already_there: nodes that this owner had already.
    renamed: of those inserted, how many got an id of their own, because somebody else in the tenant has theirs.
    seconds: from opening the files to the last commit.
    """

    read: int
    inserted: int
    already_there: int
    renamed: int
    seconds: float
    dry_run: bool

    @property
    def rows_per_second(self) -> float:
        """Nodes taken through the import in a second."""
        return self.read / self.seconds


async def import_corpus(
    engine: AsyncEngine,
    folder: Path | str,
    *,
    tenant_id: UUID,
    user_id: UUID | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    dry_run: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ImportResult:
    """Import the corpus in `folder` into a tenant's memory, as a user's memories or, without one, as everybody's.

    All of it is checked before the first row is written. It is written in batches of `batch_size` nodes, each its own
    transaction, and a node that is there already is left as it is: an import that was killed is finished by running it
    again. Where somebody else in the tenant has memories of the same ids, this owner's get ids of their own, and keep
    the original one as `metadata.memstore_source_id`. The files are only read.

    Raises:
        CorpusError: the corpus cannot be imported as it is; nothing was written.
        UnknownTenantError, UnknownUserError: there is no such owner; nothing was written.
        SchemaMismatchError: the tables are missing or at another revision; nothing was written.
    """
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise SettingsError(f"the batch size is {batch_size}. Needed: 1 to {MAX_BATCH_SIZE:,}")
    started = perf_counter()
    corpus = await asyncio.to_thread(open_corpus, Path(folder))
    await verify_schema(engine)
    async with open_writer(engine, tenant_id, user_id) as writer:
        checked = 0

        def on_checked(count: int) -> None:
            nonlocal checked
            checked += count
            on_progress(Progress("check", checked, len(corpus)))

        ids = await check_corpus(corpus, writer.embedding_dim, on_checked)
        fates = await writer.fates(ids)
        batches: list[Batch] = []
        for start in range(0, len(corpus), batch_size):
            stop = min(start + batch_size, len(corpus))
            known = fates[start:stop]
            if dry_run:
                batches.append(Batch.foreseen(known))
            else:
                batches.append(await writer.write(ids[start:stop], known, partial(corpus.rows, start)))
            on_progress(Progress("write", stop, len(corpus)))
    return ImportResult(
        read=len(corpus),
        inserted=sum(batch.inserted for batch in batches),
        already_there=sum(batch.already_there for batch in batches),
        renamed=sum(batch.renamed for batch in batches),
        seconds=perf_counter() - started,
        dry_run=dry_run,
    )
