"""The memories of one tenant as they are in its files: read once, and never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CorpusError, MemstoreError
from .nodes import memory_of, node_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO
    from uuid import UUID

    from numpy.typing import NDArray

    from ..memories import Memory
    from .words import Words

NODES = "corpus/nodes.json"
VECTORS = "vectors/nodes.npy"
_NEEDED = "a file corpus: corpus/nodes.json, an array of nodes, and vectors/nodes.npy, float32, shape (N, D)"


@dataclass(frozen=True)
class Corpus:
    """What a tenant has.

    memories: by id, in the order of the rows of `vectors`.
    vectors: shape (N, D), float32; D is 0 as long as there was no embedding.
    embedded: shape (N,): which rows are embeddings. The others are zeros.
    words: of its memories, shared with the corpora before and after it.
    """

    memories: Mapping[str, Memory]
    vectors: NDArray[np.float32]
    embedded: NDArray[np.bool_]
    words: Words = field(repr=False)
    _written: Mapping[str, tuple[Memory, bool, str]] = field(default_factory=dict, repr=False)

    @property
    def width(self) -> int | None:
        """The width of the embeddings, None before the first."""
        return self.vectors.shape[1] or None

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each memory's vector, by id."""
        return {id_: row for row, id_ in enumerate(self.memories)}

    @cached_property
    def keys(self) -> dict[tuple[Any, ...], str]:
        """The id of each memory that is not deleted and has a natural key, by that and whose it is."""
        return {
            (memory.agent_id, memory.user_id, memory.key): id_
            for id_, memory in self.memories.items()
            if memory.key is not None and memory.deleted_at is None
        }

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        """The squared length of each row, shape (N,)."""
        squares: NDArray[np.float64] = np.einsum("ij,ij->i", self.vectors, self.vectors).astype(np.float64)
        return squares

    def embedding_of(self, id_: str) -> NDArray[np.float32] | None:
        """Return a copy of a memory's embedding, shape (D,)."""
        row = self.rows[id_]
        return self.vectors[row].copy() if self.embedded[row] else None

    @cached_property
    def lines(self) -> dict[str, tuple[Memory, bool, str]]:
        """Each node as JSON. What has not changed since the corpus before this one is taken from there."""
        lines = {}
        for (id_, memory), embedded in zip(self.memories.items(), self.embedded.tolist(), strict=True):
            written = self._written.get(id_)
            if written is None or written[0] is not memory or written[1] != embedded:
                node = node_of(memory, has_embedding=embedded)
                written = (memory, embedded, json.dumps(node, ensure_ascii=False, allow_nan=False))
            lines[id_] = written
        return lines

    def text(self) -> Iterator[bytes]:
        """Yield the contents of `corpus/nodes.json`."""
        yield b"["
        separator = b"\n"
        for _, _, line in self.lines.values():
            yield separator + line.encode()
            separator = b",\n"
        yield b"\n]\n"


def empty_corpus(words: Words) -> Corpus:
    """Return what a tenant without files has."""
    return Corpus({}, np.empty((0, 0), np.float32), np.empty(0, np.bool_), words)


def read_corpus(folder: Path, nodes: IO[bytes], vectors: IO[bytes], tenant_id: UUID, words: Words) -> Corpus:
    """Return what is in the two opened files of a corpus. The words of texts that are in `words` are known.

    Raises:
        CorpusError: they are not what they should be, or do not fit together.
    """
    try:
        found = json.load(nodes)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{folder / NODES} is not JSON: {error}. Needed: {_NEEDED}") from error
    try:
        array = np.load(vectors, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CorpusError(f"{folder / VECTORS} is not a NumPy array file: {error}. Needed: {_NEEDED}") from error
    if not isinstance(found, list) or not isinstance(array, np.ndarray):
        raise CorpusError(f"{folder} does not hold two arrays. Needed: {_NEEDED}")
    if array.dtype != np.float32 or array.ndim != 2 or len(array) != len(found):
        raise CorpusError(
            f"{folder}: {len(found):,} nodes, vectors of {array.dtype}, shape {array.shape}. Needed: {_NEEDED}, row i "
            "belonging to node i"
        )
    memories: dict[str, Memory] = {}
    embedded = np.empty(len(found), np.bool_)
    now = datetime.now(UTC)
    for row, node in enumerate(found):
        try:
            memory, embedded[row] = memory_of(node, tenant_id, now)
        except (MemstoreError, LookupError, TypeError, ValueError, AttributeError) as error:
            why = str(error) if isinstance(error, MemstoreError | ValueError | TypeError) else repr(error)
            raise CorpusError(f"{folder / NODES}: node {row} cannot be read: {why}. Correct it") from error
        if memories.setdefault(memory.id, memory) is not memory:
            raise CorpusError(f"{folder / NODES}: node {row} has the id of another. Needed: unique ids")
    words.forget_all_but(memories)
    corpus = Corpus(memories, np.ascontiguousarray(array), embedded, words)
    with np.errstate(over="ignore", invalid="ignore"):
        embedded &= (corpus.squares > 0) & (corpus.squares < np.inf)
    return corpus
