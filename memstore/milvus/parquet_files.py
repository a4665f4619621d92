"""Entities in Parquet files: a column for each declared field, and one for whatever else an entity has, as JSON."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BackupError, MissingPackageError
from .entity_store import BATCH
from .fields import Kind
from .manifest import SavedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

    from .entities import Entity
    from .saved_collection import SavedCollection, SavedField

DYNAMIC = "$meta"
"""The column of dynamic fields; no declared one can have this name."""

_MESSAGE_BYTES = 16 * 2**20
_OTHER_BYTES = 4 * 2**10


def require_pyarrow() -> ModuleType:
    """Return pyarrow, which takes a fifth of a second to import.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("a backup of Milvus", "milvus-backup") from error
    arrow: ModuleType = pyarrow
    return arrow


def batch_size(saved: SavedCollection) -> int:
    """Return how many entities are read or sent at once: as many as fit into a message of Milvus, at most 1,000."""
    return max(1, min(BATCH, _MESSAGE_BYTES // (4 * saved.width + _OTHER_BYTES)))


def parquet_schema(saved: SavedCollection) -> Any:
    """Return the Arrow schema of a collection's files."""
    arrow = require_pyarrow()
    fields = [arrow.field(each.name, _type(arrow, each), nullable=each.is_nullable) for each in saved.fields]
    if saved.is_dynamic:
        fields.append(arrow.field(DYNAMIC, arrow.string(), nullable=False))
    return arrow.schema(fields)


class RowsWriter:
    """Writes entities to `rows-00001.parquet` and on, so many to a file; close it at the end.

    They are a row group when they are as many as are read at once: a server's last pages have one entity each.
    """

    def __init__(self, folder: Path, saved: SavedCollection, rows_per_file: int) -> None:
        self.rows = 0
        self.files: list[SavedFile] = []
        self._folder, self._saved, self._rows_per_file = folder, saved, rows_per_file
        self._schema = parquet_schema(saved)
        self._file: _PrivateFile | None = None
        self._writer: Any = None
        self._in_file = 0
        self._waiting: list[Entity] = []
        self._enough = batch_size(saved)

    def add(self, entities: Sequence[Entity]) -> None:
        """Write entities, now or with the next."""
        self.rows += len(entities)
        self._waiting.extend(entities)
        if len(self._waiting) >= self._enough:
            self._write()

    def close(self) -> None:
        """Write the last entities, and let all reach the disk."""
        self._write()
        self._finish()

    def abandon(self) -> None:
        """Let go of a file that is not finished."""
        if self._file is not None:
            self._file.is_abandoned = True
            self._writer.close()  # else it tries when it is collected
            self._file.close()

    def _write(self) -> None:
        if not self._waiting:
            return
        batch = self._encoded(self._waiting)
        self._waiting = []
        while batch.num_rows:
            if self._writer is None:
                self._open()
            part = batch.slice(0, self._rows_per_file - self._in_file)
            self._writer.write_batch(part)
            self._in_file += part.num_rows
            batch = batch.slice(part.num_rows)
            if self._in_file == self._rows_per_file:
                self._finish()

    def _finish(self) -> None:
        if self._writer is None or self._file is None:
            return
        self._writer.close()
        self._file.finish()
        self.files.append(
            SavedFile(self._file.path.name, self._in_file, self._file.size, self._file.sha256.hexdigest())
        )
        self._file = self._writer = None
        self._in_file = 0

    def _open(self) -> None:
        from pyarrow import parquet

        self._file = _PrivateFile(self._folder / f"rows-{len(self.files) + 1:05}.parquet")
        # Vectors do not get smaller, and a text that repeats does by zstd alone.
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd", use_dictionary=False)

    def _encoded(self, entities: Sequence[Entity]) -> Any:
        arrow = require_pyarrow()
        columns = [_column(arrow, each, entities) for each in self._saved.fields]
        if self._saved.is_dynamic:
            declared = {each.name for each in self._saved.fields}
            others = [{key: entity[key] for key in entity if key not in declared} for entity in entities]
            texts = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in others]
            columns.append(arrow.array(texts, arrow.string()))
        return arrow.RecordBatch.from_arrays(columns, schema=self._schema)


def read_rows(path: Path, saved: SavedCollection) -> Iterator[list[Entity]]:
    """Read the entities of a file, some at a time.

    Raises:
        BackupError: it cannot be read.
    """
    for batch in _batches(path, batch_size(saved), None):
        columns = {each.name: _values(each, batch.column(each.name)) for each in saved.fields}
        entities = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        if saved.is_dynamic:
            for entity, others in zip(entities, batch.column(DYNAMIC).to_pylist(), strict=True):
                entity.update(json.loads(others))
        yield entities


def read_ids(path: Path, primary: str) -> Iterator[list[str]]:
    """Read the ids of a file, some at a time. Raises as `read_rows`."""
    for batch in _batches(path, BATCH, [primary]):
        yield batch.column(0).to_pylist()


def check_rows(path: Path, saved: SavedCollection, rows: int) -> None:
    """Check that a file has these columns and so many rows.

    Raises:
        BackupError: it has not.
    """
    arrow = require_pyarrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            schema, found = file.schema_arrow, file.metadata.num_rows
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    if not schema.equals(parquet_schema(saved)):
        raise BackupError(f"{path} has other columns than its manifest says. Restore another backup")
    if found != rows:
        raise BackupError(f"{path} has {found:,} rows, and {rows:,} by its manifest. Restore another backup")


def _batches(path: Path, size: int, columns: list[str] | None) -> Iterator[Any]:
    arrow = require_pyarrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=size, columns=columns)
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _type(arrow: Any, field: SavedField) -> Any:
    if field.kind is Kind.VECTOR:
        return arrow.list_(arrow.float32(), field.length)
    return {
        Kind.VARCHAR: arrow.string(),
        Kind.INT8: arrow.int8(),
        Kind.INT32: arrow.int32(),
        Kind.INT64: arrow.int64(),
        Kind.FLOAT: arrow.float32(),
        Kind.BOOL: arrow.bool_(),
    }[field.kind]


def _column(arrow: Any, field: SavedField, entities: Sequence[Entity]) -> Any:
    if field.kind is Kind.VECTOR:
        vectors = np.asarray([entity[field.name] for entity in entities], dtype=np.float32)
        return arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.reshape(-1)), field.length)
    if field.is_nullable:
        return arrow.array([entity.get(field.name) for entity in entities], _type(arrow, field))
    return arrow.array([entity[field.name] for entity in entities], _type(arrow, field))


def _values(field: SavedField, column: Any) -> Sequence[Any]:
    if field.kind is Kind.VECTOR:
        vectors: np.ndarray[Any, Any] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, field.length)
        return list(vectors)
    values: list[Any] = column.to_pylist()
    return values


def _unreadable(path: Path, error: Exception) -> BackupError:
    return BackupError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}. Restore another backup")


class _PrivateFile(io.RawIOBase):
    """A new file that only its owner can read, with the checksum and the size of what was written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.is_abandoned = False
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.is_abandoned:
            self.sha256.update(data)
            self.size += len(data)
            left = memoryview(data)
            while left:
                left = left[os.write(self._handle, left) :]
        return len(data)

    def tell(self) -> int:
        return self.size

    def finish(self) -> None:
        """Let it reach the disk, and close it."""
        os.fsync(self._handle)
        self.close()

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()
