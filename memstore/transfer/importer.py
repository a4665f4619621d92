"""Importing a file corpus into one tenant's memory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..migrations import verify_schema
from ..store.indexes import IndexHandling, LoadedIndex, after_load, before_load
from .corpus import check_corpus, open_corpus
from .writer import Batch, Fate, Writer, open_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from ..migrations import Progress as BuildProgress

DEFAULT_BATCH_SIZE = 2_000
MAX_BATCH_SIZE = 100_000
WRITERS = 2  # while the server inserts one batch, the next is read, encoded and sent


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: `phase` is "check" or "write", counted in nodes, or "index", in what the server counts."""

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
    seconds: from opening the files to the last commit of rows.
    index: what was done about the vector index besides, and how long that took.
    """

    read: int
    inserted: int
    already_there: int
    renamed: int
    seconds: float
    dry_run: bool
    index: LoadedIndex = field(default_factory=LoadedIndex)

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
    index: IndexHandling = IndexHandling.AUTO,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ImportResult:
    """Import the corpus in `folder` into a tenant's memory, as a user's memories or, without one, as everybody's.

    All of it is checked before the first row is written. It is written over two connections, in batches of `batch_size`
    nodes that are a transaction each, and a node that is there already is left as it is: an import that was killed is
    finished by running it again. Where somebody else in the tenant has memories of the same ids, this owner's get ids
    of their own, and keep the original one as `metadata.memstore_source_id`. The files are only read.

    More than 20,000 new rows, and more than there are, go into the table without its vector index, which is dropped
    before: searches are exact meanwhile, and slower. In the end the one that is right by then is built, if the role
    owns the tables. `index` says otherwise.

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
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(open_writer(engine, tenant_id, user_id)) for _ in range(WRITERS)]
        checked = 0

        def on_checked(count: int) -> None:
            nonlocal checked
            checked += count
            on_progress(Progress("check", checked, len(corpus)))

        checked_corpus = await check_corpus(corpus, writers[0].embedding_dim, on_checked)
        placing = await writers[0].placing(checked_corpus)
        ids, owners = checked_corpus.ids, placing.owners(checked_corpus)
        fates = await writers[0].fates(ids, owners)
        new = sum(fate != Fate.MINE for fate in fates)
        indexed = LoadedIndex() if dry_run else await before_load(engine, new, index)
        starts = iter(range(0, len(corpus), batch_size))
        batches: list[Batch] = []

        async def work(writer: Writer) -> None:
            for start in starts:  # shared: each takes the next batch that nobody has taken
                span = slice(start, start + batch_size)
                if dry_run:
                    batches.append(Batch.foreseen(fates[span]))
                else:
                    rows = partial(corpus.rows, start)
                    batches.append(await writer.write(ids[span], owners[span], fates[span], rows, placing))
                done = sum(batch.inserted + batch.already_there for batch in batches)
                on_progress(Progress("write", done, len(corpus)))

        def stop() -> None:
            for writer in writers:
                writer.terminate()

        await _together([work(writer) for writer in writers], stop)
    seconds = perf_counter() - started - indexed.seconds
    inserted = sum(batch.inserted for batch in batches)
    if not dry_run:
        report = partial(_report, on_progress)
        indexed = await after_load(engine, tenant_id, inserted, indexed, index, on_progress=report)
    return ImportResult(
        read=len(corpus),
        inserted=inserted,
        already_there=sum(batch.already_there for batch in batches),
        renamed=sum(batch.renamed for batch in batches),
        seconds=seconds,
        dry_run=dry_run,
        index=indexed,
    )


def _report(on_progress: Callable[[Progress], None], progress: BuildProgress) -> None:
    if progress.total:
        on_progress(Progress("index", progress.done or 0, progress.total))


async def _together(works: list[Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
    """Run all to their end; where one fails, `stop` the others and raise what the first one raised.

    They are not cancelled: asyncpg would then wait for the server to confirm it, which a server that is gone does not.
    """
    tasks = [asyncio.create_task(work) for work in works]
    failures: list[BaseException] = []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failures = [error for task in done if (error := task.exception()) is not None]
    finally:
        if not all(task.done() for task in tasks):
            stop()
            await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]
