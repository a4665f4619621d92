"""Checking a backup: that every file is there, as it was written, and nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..errors import BackupError
from .manifest import MANIFEST, BackupProgress, Manifest, read_manifest
from .parquet_files import check_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .manifest import SavedFile

_CHUNK = 2**20


def check_backup(folder: Path, on_progress: Callable[[BackupProgress], None] = lambda _: None) -> Manifest:
    """Check a backup, and return its manifest.

    Raises:
        BackupError: something is missing, damaged or too much.
    """
    manifest = read_manifest(folder)
    wanted = {each.name for each in manifest.files}
    there = {each.name for each in folder.iterdir()} - {MANIFEST}
    if missing := sorted(wanted - there):
        raise BackupError(f"{folder} lacks {', '.join(missing[:5])}. Restore another backup; nothing was changed")
    if extra := sorted(there - wanted):
        raise BackupError(
            f"{folder} holds {', '.join(extra[:5])}, which the backup does not know. Move it elsewhere, and try again; "
            "nothing was changed"
        )
    done = 0
    for file in manifest.files:
        _check_bytes(folder / file.name, file)
        check_rows(folder / file.name, manifest.collection, file.rows)
        done += file.rows
        on_progress(BackupProgress("check", done, manifest.rows))
    if done != manifest.rows:
        raise BackupError(f"{folder} holds {done:,} entities, and {manifest.rows:,} by its manifest")
    return manifest


def _check_bytes(path: Path, file: SavedFile) -> None:
    try:
        size = path.stat().st_size
        if size != file.bytes:
            raise BackupError(
                f"{path} is damaged: it has {size:,} bytes, and had {file.bytes:,}. Restore another backup; nothing "
                "was changed"
            )
        found = hashlib.sha256()
        with path.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                found.update(chunk)
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}. Nothing was changed") from error
    if found.hexdigest() != file.sha256:
        raise BackupError(f"{path} is damaged: its checksum is another. Restore another backup; nothing was changed")
