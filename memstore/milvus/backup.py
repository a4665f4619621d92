"""Writing a backup: every entity of a collection in Parquet files, and a manifest that says what it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from ..errors import BackupError, SettingsError
from ..version import __version__
from . import collections, entity_store
from .manifest import BackupProgress, Manifest, begin_manifest, write_manifest
from .parquet_files import RowsWriter, batch_size, require_pyarrow
from .saved_collection import find_collection
from .state import RESTORING, STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Milvus

DEFAULT_ROWS_PER_FILE = 50_000


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup holds.

    name: the physical name of the collection.
    rows: how many entities were written.
    rows_before, rows_after: how many Milvus counted; other numbers if something wrote to the collection meanwhile.
    """

    folder: Path
    name: str
    aliases: tuple[str, ...]
    rows: int
    rows_before: int
    rows_after: int
    files: int
    bytes: int
    seconds: float


async def write_backup(
    milvus: Milvus,
    collection: str,
    folder: Path | str,
    *,
    rows_per_file: int = DEFAULT_ROWS_PER_FILE,
    on_progress: Callable[[BackupProgress], None] = lambda _: None,
) -> BackupResult:
    """Write every entity of a collection, given by its name or an alias, into a folder that is new or empty.

    It may be in use: what is written meanwhile is in the backup or is not. The folder can be entered by its owner only;
    it is a backup once it has its manifest, which is written last. One that fails leaves no file behind.

    Raises:
        BackupError: there is no such collection, it would not be kept whole, or the folder cannot be used.
        MissingPackageError: the extra `milvus-backup` is not installed.
        MilvusUnreachableError, MilvusRefusedError: see their descriptions.
    """
    if rows_per_file < 1:
        raise SettingsError(f"the rows per file are {rows_per_file}. Needed: 1 or more, such as 50000")
    require_pyarrow()
    started, began = perf_counter(), datetime.now(UTC)
    folder = Path(folder)
    name = await _physical_name(milvus, collection)
    saved = await find_collection(milvus, name)
    if saved.properties.get(STATE) == RESTORING:
        raise BackupError(f"{name} is what a restore has not finished. Restore it first: memstore milvus restore DIR")
    await collections.load(milvus, name)
    aliases = tuple(await collections.aliases_of(milvus, name))
    before = await entity_store.count(milvus, name)
    is_new = await asyncio.to_thread(_prepare, folder)
    rows = RowsWriter(folder, saved, rows_per_file)
    try:
        on_progress(BackupProgress("read", 0, before))
        async for page in entity_store.scan(milvus, name, ["*"], batch=batch_size(saved)):
            await _in_thread(rows.add, page)
            on_progress(BackupProgress("read", rows.rows, max(before, rows.rows)))
        await _in_thread(rows.close)
        after = await entity_store.count(milvus, name)
        manifest = Manifest(
            memstore=__version__,
            written_at=began.isoformat(),
            server=milvus.capabilities.said,
            name=name,
            aliases=aliases,
            collection=saved,
            rows=rows.rows,
            rows_before=before,
            rows_after=after,
            files=tuple(rows.files),
        )
        await _in_thread(write_manifest, folder, manifest)
    except BaseException as error:
        rows.abandon()
        _clear(folder, is_new)
        if isinstance(error, OSError):
            raise BackupError(f"{folder} cannot be written: {error.strerror or error}. Name another folder") from error
        raise
    return BackupResult(
        folder=folder,
        name=name,
        aliases=aliases,
        rows=rows.rows,
        rows_before=before,
        rows_after=after,
        files=len(rows.files),
        bytes=sum(each.bytes for each in rows.files),
        seconds=perf_counter() - started,
    )


async def _in_thread(work: Callable[..., object], *given: object) -> None:
    """Run something in a thread, and be cancelled only after it: it writes what is taken away then."""
    call = asyncio.ensure_future(asyncio.to_thread(work, *given))
    try:
        await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        if not call.cancelled():
            call.exception()  # it is the caller that is cancelled, whatever became of the work
        raise


async def _physical_name(milvus: Milvus, collection: str) -> str:
    there = await collections.names(milvus)
    if collection in there:
        return collection
    target = await collections.target_of(milvus, collection)
    if target is None:
        raise BackupError(
            f"there is no collection or alias {collection!r} in Milvus. There are: {', '.join(there) or 'none'}"
        )
    return target


def _prepare(folder: Path) -> bool:
    try:
        is_new = not folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BackupError(f"{folder} is not empty. Name a new folder: memstore milvus backup DIR")
        folder.chmod(0o700)
        begin_manifest(folder)
    except FileExistsError as error:
        raise BackupError(f"{folder} is not empty. Name a new folder: memstore milvus backup DIR") from error
    except OSError as error:
        raise BackupError(f"{folder} cannot be used: {error.strerror}. Name a new folder") from error
    return is_new


def _clear(folder: Path, is_new: bool) -> None:
    for file in folder.iterdir():
        file.unlink()
    if is_new:
        folder.rmdir()
