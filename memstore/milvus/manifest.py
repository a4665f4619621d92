"""The manifest of a backup: what it holds, and how to tell that it is whole. It is written last, in one step."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BackupError
from .fields import Kind
from .saved_collection import SavedCollection, SavedField
from .saved_indexes import SavedIndex

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
MANIFEST = "manifest.json"
_SUM = "manifest_sha256"
_ROWS_FILE = re.compile(r"rows-\d{5,}\.parquet")


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """How far a backup or a restore is: `phase` is "read", or "check", "write", "verify"; counted in entities."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file of entities."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    written_at: when it began, in UTC.
    server: what the Milvus says of its version.
    name: the physical name of the collection.
    rows: how many entities are in the files.
    rows_before, rows_after: how many Milvus counted; other numbers than `rows` if something wrote meanwhile.
    """

    memstore: str
    written_at: str
    server: str
    name: str
    aliases: tuple[str, ...]
    collection: SavedCollection
    rows: int
    rows_before: int
    rows_after: int
    files: tuple[SavedFile, ...]


def begin_manifest(folder: Path) -> None:
    """Make the file that becomes the manifest: who has made it has the folder to itself.

    Raises:
        FileExistsError: somebody else has begun a backup there.
    """
    os.close(os.open(_unfinished(folder), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest so that it is there whole or not at all, after everything else has reached the disk."""
    unfinished = _unfinished(folder)
    with unfinished.open("wb") as file:
        file.write(_as_text({"format": FORMAT, **asdict(manifest)}))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    unfinished.rename(folder / MANIFEST)
    sync_folder(folder)


def _unfinished(folder: Path) -> Path:
    return folder / f"{MANIFEST}.unfinished"


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        BackupError: there is none, it was changed, or this memstore does not know its format.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BackupError(f"there is no folder {folder}. Name one that `memstore milvus backup` has written")
    if not path.is_file():
        raise BackupError(
            f"{folder} has no {MANIFEST}: it is no backup, or one that was not finished. Write another, into a new "
            "folder: memstore milvus backup DIR"
        )
    try:
        written = path.read_bytes()
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = json.loads(written)
        form = found.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _changed(path) from error
    if type(form) is not int or form != FORMAT:
        raise BackupError(
            f"{path} is of format {str(form)[:20]}, and this memstore knows {FORMAT}. Run: pip install -U memstore"
        )
    found.pop(_SUM, None)
    # To the byte what memstore writes of what it says, its checksum too.
    if _as_text({"format": form, **found}) != written:
        raise _changed(path)
    try:
        return _manifest(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _changed(path) from error


def sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_text(fields: dict[str, Any]) -> bytes:
    described = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    summed = {**fields, _SUM: hashlib.sha256(described).hexdigest()}
    return json.dumps(summed, ensure_ascii=False, indent=2).encode() + b"\n"


def _manifest(found: dict[str, Any]) -> Manifest:
    files = tuple(SavedFile(**each) for each in found.pop("files"))
    if any(_ROWS_FILE.fullmatch(each.name) is None for each in files):
        raise ValueError("a file of another name")
    made = found.pop("collection")
    fields = tuple(SavedField(**{**each, "kind": Kind(each["kind"])}) for each in made.pop("fields"))
    indexes = tuple(SavedIndex(**each) for each in made.pop("indexes"))
    collection = SavedCollection(fields=fields, indexes=indexes, **made)
    return Manifest(files=files, collection=collection, aliases=tuple(found.pop("aliases")), **found)


def _changed(path: Path) -> BackupError:
    return BackupError(f"{path} is damaged, or was changed by hand. Restore another backup; nothing was changed")
