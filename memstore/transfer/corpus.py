"""A file corpus: `corpus/nodes.json` and `vectors/nodes.npy`, row i of the vectors belonging to node i."""

from __future__ import annotations

import asyncio
import codecs
import mmap
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import decode as decode_json

from ..errors import CorpusError, VectorError
from ..npy import open_npy
from ..store.files import is_stored
from .decoding import COLUMNS, NodeProblem, decode, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from numpy.typing import NDArray

NODES = "corpus/nodes.json"
VECTORS = "vectors/nodes.npy"
SHOWN_PROBLEMS = 20
_HIGH, _LOW = rb"\\u[dD][89aAbB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_PAIR = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, rb"\\u[dD][89aAbB]..", _LOW))
CHUNK = 2_000
_USER, _AGENT, _SESSION = (COLUMNS.index(name) for name in ("user_id", "agent_id", "session_id"))


@dataclass(frozen=True, slots=True)
class Checked:
    """What a sound corpus holds: the id of each node, whose it says it is, and the agents and sessions it names."""

    ids: list[str]
    users: list[UUID | None]
    agents: set[UUID]
    sessions: set[UUID]


@dataclass(frozen=True, slots=True)
class Corpus:
    """An opened corpus. Both files are memory-mapped: what is held is where each node begins, not what is in it."""

    folder: Path
    nodes: Sequence[Raw]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.nodes)

    def rows(self, start: int, places: Sequence[int]) -> list[tuple[Any, ...]]:
        """Return the nodes at `places` after `start`, each as its columns and last its vector, shape (D,) or None."""
        indexes = [start + place for place in places]
        nodes = [decode(self.nodes[index]) for index in indexes]
        return [
            (*node.columns, vector if node.has_embedding else None)
            for node, vector in zip(nodes, self.vectors[indexes], strict=True)
        ]


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus and check what can be seen without reading all of it.

    That of a `FileStore` may be written to meanwhile: what is opened is one generation of it.

    Raises:
        CorpusError: a file is missing, is not what it should be, or the two do not fit together.
    """
    if folder.is_symlink():
        newest = folder.resolve()
        try:
            return open_corpus(newest)
        except CorpusError:
            if folder.resolve() == newest:
                raise
            return open_corpus(folder)  # it was replaced, and removed, before both files were open
    nodes = _open_nodes(folder / NODES)
    vectors = _open_vectors(folder / VECTORS)
    if len(vectors) != len(nodes):
        raise CorpusError(
            f"{folder}: {NODES} has {len(nodes):,} nodes and {VECTORS} has {len(vectors):,} rows. "
            "Needed: as many, row i belonging to node i"
        )
    return Corpus(folder, nodes, vectors)


async def check_corpus(corpus: Corpus, embedding_dim: int, on_checked: Callable[[int], None]) -> Checked:
    """Check every node and every vector, so that an import finds nothing to stumble over half way.

    `on_checked` is called with the number of nodes that were checked since the last call.

    Raises:
        CorpusError: something would be refused; up to 20 problems are named by index, id and field.
    """
    if corpus.vectors.shape[1] not in (embedding_dim, 0):  # 0: a store of memories none of which has an embedding
        raise CorpusError(
            f"{corpus.folder / VECTORS} has vectors of {corpus.vectors.shape[1]} dimensions, this database holds "
            f"{embedding_dim}. Embed the corpus with the model of this database, or import it into another"
        )
    problems: list[str] = []
    total = 0
    first_index: dict[str, int] = {}
    checked = Checked([], [], set(), set())
    for start in range(0, len(corpus), CHUNK):
        stop = min(start + CHUNK, len(corpus))
        bad_vectors = _bad_vectors(corpus.vectors[start:stop])
        for index in range(start, stop):
            id_: str | None = None
            found: list[NodeProblem] = []
            try:
                id_, columns, has_embedding = decode(corpus.nodes[index])
                checked.users.append(columns[_USER])
                checked.agents.update(filter(None, (columns[_AGENT],)))
                checked.sessions.update(filter(None, (columns[_SESSION],)))
                if first_index.setdefault(id_, index) != index:
                    found.append(NodeProblem("id", f"the same as that of node {first_index[id_]}, needed: unique ids"))
            except NodeProblem as problem:
                found.append(problem)
                loose = _loose(corpus.nodes[index])
                has_embedding = not is_stored(loose) or loose["has_embedding"] is True
            if has_embedding and index - start in bad_vectors:
                found.append(NodeProblem("vector", bad_vectors[index - start]))
            for each in found:
                total += 1
                if len(problems) < SHOWN_PROBLEMS:
                    problems.append(
                        f"node {index} (id {id_ or _id_of(corpus.nodes[index])}): {each.field}: {each.message}"
                    )
        on_checked(stop - start)
        await asyncio.sleep(0)  # others on this event loop have their turn, and a cancellation its chance
    if total:
        raise CorpusError(
            f"{corpus.folder}: {total:,} problem{'s' if total > 1 else ''}, nothing was written", problems, total=total
        )
    checked.ids.extend(first_index)
    return checked


def _open_nodes(path: Path) -> list[Raw]:
    try:
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}. Needed: a JSON array of nodes") from error
    except ValueError as error:  # mmap refuses an empty file
        raise CorpusError(f"{path} is empty. Needed: a JSON array of nodes") from error
    if mapped[:3].tobytes() == codecs.BOM_UTF8:
        mapped = mapped[3:]  # the mark that some editors put before UTF-8
    try:
        nodes = decode_json(mapped, type=list[Raw])
    except ValidationError as error:
        raise CorpusError(f"{path} holds JSON, but not an array: {error}. Needed: an array of nodes") from error
    except (DecodeError, UnicodeDecodeError) as error:
        where = _half_pair(mapped) or str(error)
        raise CorpusError(f"{path} is not JSON: {where}. Needed: a JSON array of nodes") from error
    except RecursionError as error:
        raise CorpusError(f"{path} is nested too deep to read. Needed: a JSON array of nodes") from error
    if not nodes:
        raise CorpusError(f"{path} holds an empty array. Needed: at least one node")
    return nodes


def _open_vectors(path: Path) -> NDArray[np.float32]:
    needed = "a NumPy file of float32, shape (N, D)"
    try:
        vectors = open_npy(path, needed=needed, mapped=True)
    except VectorError as error:
        raise CorpusError(str(error)) from error
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise CorpusError(f"{path} holds {vectors.dtype}, shape {vectors.shape}. Needed: {needed}")
    return vectors


def _bad_vectors(vectors: NDArray[np.float32]) -> dict[int, str]:
    """Return, for each row without a cosine, its place and why. pgvector adds up squares in single precision too."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
    suspects = np.flatnonzero(~((squares > 0) & (squares < np.inf)))
    return {int(row): _why_no_cosine(vectors[row]) for row in suspects}


def _why_no_cosine(vector: NDArray[np.float32]) -> str:
    if not len(vector):
        return "found 0 dimensions, needed: an embedding"
    if np.isnan(vector).any():
        return f"found NaN in dimension {int(np.isnan(vector).argmax())}, needed: finite numbers"
    if np.isinf(vector).any():
        return f"found infinity in dimension {int(np.isinf(vector).argmax())}, needed: finite numbers"
    if not vector.any():
        return "found only zeros, which have no cosine"
    return "found a length outside the range of single precision, which has no cosine; normalise it"


def _half_pair(text: memoryview) -> str | None:
    r"""Say where `text` has half of a UTF-16 pair, as strings cut in the middle of an emoji have: `\ud83d` alone."""
    half = _HALF_PAIR.search(text)
    return f"half of a UTF-16 pair, {half[0].decode()}, at byte {half.start():,}" if half else None


def _loose(raw: Raw) -> dict[str, Any]:
    """Return what can be read of a node that is refused."""
    try:
        node = decode_json(raw)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return {"id": "unreadable"}
    return node if isinstance(node, dict) else {}


def _id_of(raw: Raw) -> str:
    found = _loose(raw).get("id")
    if found is None:
        return "missing"
    return found[:60] if isinstance(found, str) and found.isprintable() else shown(found)
