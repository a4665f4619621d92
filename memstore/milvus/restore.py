"""Restoring a backup: an equal collection in the same Milvus or another, or nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from ..errors import BackupError, MemstoreError
from . import collections, entity_store
from .backup_check import check_backup
from .manifest import BackupProgress, Manifest
from .naming import checked_name
from .parquet_files import read_ids, read_rows, require_pyarrow
from .restored_indexes import indexes_here
from .saved_collection import PRIMARY, check_creatable, create, set_state
from .saved_indexes import SavedIndex, await_indexes, make_indexes
from .state import INDEX, RESTORING, STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Milvus

    Report = Callable[[BackupProgress], None]


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore made.

    name: the physical name of the collection.
    aliases: what leads to it now.
    adapted: what is not as it was, since this Milvus has no such thing; a sentence each.
    replaced: whether there was one that an earlier restore had not finished.
    """

    name: str
    aliases: tuple[str, ...]
    rows: int
    adapted: tuple[str, ...]
    replaced: bool
    seconds: float


async def restore_backup(
    milvus: Milvus,
    folder: Path | str,
    *,
    as_name: str | None = None,
    on_progress: Report = lambda _: None,
) -> RestoreResult:
    """Make the collection of a backup again, under its own name and with its aliases, or as another without them.

    The backup is checked to the last byte first, and so is its name: nothing is ever written over, but for what
    an earlier restore has not finished. One that fails drops what it made; one that was killed leaves a
    collection in the state `restoring`, which nothing leads to unless it is whole, and which the next one replaces. Do
    not run two of them for one name.

    Raises:
        BackupError: the backup is damaged, or cannot be restored here under this name, and nothing was changed; or what
            was restored is not what is in it, and was dropped.
        SettingsError: the name is none for a collection.
        MissingPackageError: the extra `milvus-backup` is not installed.
        MilvusUnreachableError, MilvusRefusedError, MilvusStateError: see their descriptions.
    """
    require_pyarrow()
    started, folder = perf_counter(), Path(folder)
    manifest = await asyncio.to_thread(check_backup, folder, on_progress)
    name = manifest.name if as_name is None else as_name
    aliases = manifest.aliases if as_name is None else ()
    check_creatable(milvus, manifest.collection)
    indexes, changes = indexes_here(milvus, manifest)
    is_left = await _check_target(milvus, folder, name, aliases)
    if is_left:
        await _drop(milvus, name, aliases)
    try:
        await create(milvus, name, manifest.collection, _properties(manifest, indexes))
        await make_indexes(milvus, name, indexes)
        await _write(milvus, folder, manifest, name, on_progress)
        await await_indexes(milvus, name)
        await _verify(milvus, folder, manifest, name, on_progress)
        for alias in aliases:
            await collections.point(milvus, alias, name)
        await set_state(milvus, name, manifest.collection.properties.get(STATE))
    except BaseException as error:
        try:
            await _drop(milvus, name, aliases)
        except MemstoreError as second:
            error.add_note(f"{name} is left behind, unfinished; the next restore replaces it: {second}")
        raise
    return RestoreResult(name, aliases, manifest.rows, changes, is_left, perf_counter() - started)


def _properties(manifest: Manifest, indexes: tuple[SavedIndex, ...]) -> dict[str, str]:
    properties = {**manifest.collection.properties, STATE: RESTORING}
    if INDEX in properties:  # what it says of its vector index, by which it is searched
        properties[INDEX] = next((each.type for each in indexes if each.metric), properties[INDEX])
    return properties


async def _check_target(milvus: Milvus, folder: Path, name: str, aliases: tuple[str, ...]) -> bool:
    """Check that a collection can be made under this name, and return whether an unfinished one has it."""
    other = f"Restore it under another name: memstore milvus restore {folder} --as NAME"
    checked_name(name)
    if (target := await collections.target_of(milvus, name)) is not None:
        raise BackupError(f"{name} is an alias of {target} in Milvus. {other}")
    there = await collections.names(milvus)
    for alias in aliases:
        if alias in there:
            raise BackupError(f"the backup has an alias {alias}, which is a collection in Milvus. {other}")
        if (target := await collections.target_of(milvus, alias)) not in (None, name):
            raise BackupError(f"the alias {alias} of the backup leads to {target} in Milvus, and stays. {other}")
    if name not in there:
        return False
    if (await collections.describe(milvus, name)).properties.get(STATE) != RESTORING:
        raise BackupError(f"there is a collection {name} in Milvus, and it stays. {other}")
    if others := sorted(set(await collections.aliases_of(milvus, name)) - set(aliases)):
        raise BackupError(
            f"{name} is what a restore has not finished, and {', '.join(others)} leads to it. Lead readers elsewhere "
            f"first. {other}"
        )
    return True


async def _write(milvus: Milvus, folder: Path, manifest: Manifest, name: str, on_progress: Report) -> None:
    done = 0
    for file in manifest.files:
        batches = read_rows(folder / file.name, manifest.collection)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            await entity_store.upsert(milvus, name, batch)
            done += len(batch)
            on_progress(BackupProgress("write", done, manifest.rows))


async def _verify(milvus: Milvus, folder: Path, manifest: Manifest, name: str, on_progress: Report) -> None:
    counted = await entity_store.count(milvus, name)
    if counted != manifest.rows:
        raise BackupError(f"{name} has {counted:,} entities after the restore, and the backup {manifest.rows:,}")
    done = 0
    for file in manifest.files:
        batches = read_ids(folder / file.name, PRIMARY)
        while (ids := await asyncio.to_thread(next, batches, None)) is not None:
            found = await entity_store.by_ids(milvus, name, ids, [])
            if missing := sorted(set(ids) - set(found)):
                raise BackupError(f"{name} lacks {len(missing):,} entities after the restore, the first {missing[0]!r}")
            done += len(ids)
            on_progress(BackupProgress("verify", done, manifest.rows))


async def _drop(milvus: Milvus, name: str, aliases: tuple[str, ...]) -> None:
    """Drop what a restore has not finished, and the aliases that it has led to it; nothing where it is not there."""
    if not await collections.is_there(milvus, name):
        return
    if (await collections.describe(milvus, name)).properties.get(STATE) != RESTORING:
        return
    for alias in set(await collections.aliases_of(milvus, name)) & set(aliases):
        await collections.remove_alias(milvus, alias)
    await collections.drop(milvus, name)
