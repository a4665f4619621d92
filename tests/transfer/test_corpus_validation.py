from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.engine import URL

from tests.transfer.corpora import NODES, VECTORS, make_nodes, make_vectors, refusal, write_corpus

Spoil = Callable[[Path], object]


def array_of(make: Callable[[], Any]) -> Spoil:
    return lambda path: np.save(path, make(), allow_pickle=True)


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, vectors=make_vectors())


def truncated_archive(path: Path) -> None:
    archive(path)
    path.write_bytes(path.read_bytes()[:-40])


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


NODE_FILES: dict[str, tuple[Spoil, str]] = {
    "missing": (Path.unlink, "No such file"),
    "a folder": (replaced_by_folder, "Is a directory"),
    "not json": (lambda path: path.write_text("id;human_content"), "is not JSON"),
    "an object": (lambda path: path.write_text('{"nodes": []}'), "not an array"),
    "a text": (lambda path: path.write_text('"nodes"'), "not an array"),
    "an empty array": (lambda path: path.write_text(" [ ] "), "empty array"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "blank": (lambda path: path.write_text("\n"), "is not JSON"),
    "truncated": (truncated, "is not JSON"),
    "two arrays": (lambda path: path.write_text("[][]"), "is not JSON"),
    "utf-16": (lambda path: path.write_text(json.dumps(make_nodes()), encoding="utf-16"), "is not JSON"),
    "too few nodes": (lambda path: path.write_text(json.dumps(make_nodes(4))), "4 nodes"),
    "nested without end": (lambda path: path.write_text("[" * 100_000), NODES),
    "nested too deep": (lambda path: path.write_text("[" * 100_000 + "]" * 100_000), NODES),
}

VECTOR_FILES: dict[str, tuple[Spoil, str]] = {
    "missing": (Path.unlink, "No such file"),
    "a folder": (replaced_by_folder, "Is a directory"),
    "empty": (lambda path: path.write_bytes(b""), "is not a NumPy array file"),
    "not npy": (lambda path: path.write_text("0.1 0.2 0.3 0.4"), "is not a NumPy array file"),
    "truncated": (truncated, "is not a NumPy array file"),
    "truncated header": (lambda path: path.write_bytes(path.read_bytes()[:20]), "is not a NumPy array file"),
    "float64": (array_of(lambda: make_vectors().astype(np.float64)), "float64"),
    "float16": (array_of(lambda: make_vectors().astype(np.float16)), "float16"),
    "integers": (array_of(lambda: np.ones((5, 4), np.int32)), "int32"),
    "big-endian": (array_of(lambda: make_vectors().astype(">f4")), ">f4"),
    "one dimension": (array_of(lambda: make_vectors()[0]), r"shape \(4,\)"),
    "three dimensions": (array_of(lambda: make_vectors()[None]), r"shape \(1, 5, 4\)"),
    "too wide": (array_of(lambda: make_vectors(width=5)), "vectors of 5 dimensions, this database holds 4"),
    "too narrow": (array_of(lambda: make_vectors(width=3)), "vectors of 3 dimensions, this database holds 4"),
    "too many": (array_of(lambda: make_vectors(6)), "5 nodes and vectors/nodes.npy has 6 rows"),
    "too few": (array_of(lambda: make_vectors(4)), "5 nodes and vectors/nodes.npy has 4 rows"),
    "none": (array_of(lambda: make_vectors(0)), "is not a NumPy array file|has 0 rows"),
    "objects": (array_of(lambda: make_vectors().astype(object)), "is not a NumPy array file"),
    "an archive": (archive, "archive"),
    "a truncated archive": (truncated_archive, "is an archive, not one array"),
}


@pytest.mark.parametrize(("spoil", "expected"), NODE_FILES.values(), ids=NODE_FILES)
async def test_a_bad_nodes_file_is_named(shared_url: URL, tmp_path: Path, spoil: Spoil, expected: str) -> None:
    path = write_corpus(tmp_path) / NODES
    spoil(path)
    message = str(await refusal(shared_url, tmp_path))
    assert re.search(expected, message)
    assert str(tmp_path) in message
    assert NODES in message


@pytest.mark.parametrize(("spoil", "expected"), VECTOR_FILES.values(), ids=VECTOR_FILES)
async def test_a_bad_vectors_file_is_named(shared_url: URL, tmp_path: Path, spoil: Spoil, expected: str) -> None:
    path = write_corpus(tmp_path) / VECTORS
    spoil(path)
    message = str(await refusal(shared_url, tmp_path))
    assert re.search(expected, message)
    assert str(tmp_path) in message
    assert VECTORS in message
