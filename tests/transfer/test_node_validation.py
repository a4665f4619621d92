from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.engine import URL

from tests.transfer.corpora import NODES, make_nodes, make_vectors, refusal, write_corpus

BAD = 3
BAD_ID = make_nodes()[BAD]["id"]
GONE = object()

# What is put into node 3, and the field that is named.
BAD_NODES: dict[str, tuple[dict[str, Any], str]] = {
    "id empty": ({"id": ""}, "id"),
    "id too long": ({"id": "x" * 256}, "id"),
    "id a number": ({"id": 7}, "id"),
    "id not unique": ({"id": make_nodes()[1]["id"]}, "id"),
    "conversation_id too long": ({"conversation_id": "x" * 256}, "conversation_id"),
    "intent_type": ({"intent_type": "order"}, "intent_type"),
    "intent_type in capitals": ({"intent_type": "Question"}, "intent_type"),
    "complexity": ({"complexity": "hard"}, "complexity"),
    "emotional_valence": ({"emotional_valence": "sad"}, "emotional_valence"),
    "urgency": ({"urgency": ""}, "urgency"),
    "conversation_mode": ({"conversation_mode": 1}, "conversation_mode"),
    "technical_depth too high": ({"technical_depth": 11}, "technical_depth"),
    "technical_depth negative": ({"technical_depth": -1}, "technical_depth"),
    "technical_depth a fraction": ({"technical_depth": 1.5}, "technical_depth"),
    "sequence_index negative": ({"sequence_index": -1}, "sequence_index"),
    "sequence_index too high": ({"sequence_index": 2**31}, "sequence_index"),
    "sequence_index far too high": ({"sequence_index": 10**30}, "sequence_index"),
    "access_count negative": ({"access_count": -1}, "access_count"),
    "access_count too high": ({"access_count": 2**31}, "access_count"),
    "cluster_confidence too high": ({"cluster_confidence": 1.5}, "cluster_confidence"),
    "cluster_confidence negative": ({"cluster_confidence": -0.1}, "cluster_confidence"),
    "cluster_id below noise": ({"cluster_id": -2}, "cluster_id"),
    "cluster_id too high": ({"cluster_id": 2**31}, "cluster_id"),
    "cluster_label too long": ({"cluster_label": "x" * 256}, "cluster_label"),
    "source too long": ({"source": "x" * 51}, "source"),
    "human_content missing": ({"human_content": GONE}, "human_content"),
    "human_content null": ({"human_content": None}, "human_content"),
    "human_content a number": ({"human_content": 5}, "human_content"),
    "assistant_content a list": ({"assistant_content": ["x"]}, "assistant_content"),
    "has_code a text": ({"has_code": "true"}, "has_code"),
    "created_at garbage": ({"created_at": "yesterday"}, "created_at"),
    "created_at empty": ({"created_at": ""}, "created_at"),
    "created_at a number": ({"created_at": 1_700_000_000}, "created_at"),
    "created_at on no day": ({"created_at": "2026-02-30T00:00:00Z"}, "created_at"),
    "created_at before the first year": ({"created_at": "0001-01-01T00:00:00+05:00"}, "created_at"),
    "created_at after the last year": ({"created_at": "9999-12-31T23:00:00-05:00"}, "created_at"),
    "last_accessed garbage": ({"last_accessed": "now"}, "last_accessed"),
    "tags a list": ({"tags": ["git"]}, "tags"),
    "tags a text": ({"tags": "git"}, "tags"),
    "NUL in human_content": ({"human_content": "a\0b"}, "human_content"),
    "NUL in id": ({"id": "a\0b"}, "id"),
    "NUL in tags": ({"tags": {"domains": ["a\0b"]}}, "tags"),
    "NUL in a key of tags": ({"tags": {"a\0b": []}}, "tags"),
    "NUL in user_id": ({"user_id": "a\0b"}, "user_id"),
    "NUL in an unknown key's value": ({"mood": [{"deep": "a\0b"}]}, "mood"),
    "unknown key beside a bad value": ({"mood": 1, "urgency": "soon"}, "urgency"),
}

# What stands in the file in place of node 3.
BAD_JSON: dict[str, tuple[bytes, str]] = {
    "a number": (b"5", f"node {BAD} .*needed an object"),
    "null": (b"null", f"node {BAD} .*needed an object"),
    "invalid utf-8": (b'{"id": "a", "human_content": "\xff"}', f"node {BAD} .*(utf|UTF)-8"),
    "invalid utf-8 after an unknown key": (
        b'{"id": "a", "mood": 1, "human_content": "\xff"}',
        f"node {BAD} .*(utf|UTF)-8",
    ),
    "a lone high surrogate": (b'{"id": "a", "human_content": "\\ud800"}', rf"nodes\.json|node {BAD} "),
    "a lone low surrogate": (b'{"id": "a", "human_content": "\\udc00"}', rf"nodes\.json|node {BAD} "),
    "a NUL byte": (b'{"id": "a", "human_content": "\0"}', rf"nodes\.json|node {BAD} "),
    "NaN": (b'{"id": "a", "human_content": "x", "cluster_confidence": NaN}', rf"nodes\.json|node {BAD} "),
    "a number out of range": (b'{"id": "a", "human_content": "x", "mood": 1e400}', f"node {BAD} .*out of range"),
    "nested too deep": (
        b'{"id": "a", "human_content": "x", "mood": %s}' % (b"[" * 9999 + b"]" * 9999),
        rf"nodes\.json|node {BAD} ",
    ),
}

BAD_VECTORS: dict[str, tuple[list[float], str]] = {
    "NaN": ([1, float("nan"), 0, 0], "found NaN in dimension 1"),
    "infinity": ([1, 0, float("inf"), 0], "found infinity in dimension 2"),
    "negative infinity": ([float("-inf"), 0, 0, 0], "found infinity in dimension 0"),
    "zero": ([0, 0, 0, 0], "found only zeros"),
    "negative zero": ([-0.0, 0, 0, 0], "found only zeros"),
    "tiny": ([1e-42, 1e-42, 0, 0], "found a length outside the range"),
    "huge": ([3e38, 3e38, 0, 0], "found a length outside the range"),
}


@pytest.mark.parametrize(("changes", "field"), BAD_NODES.values(), ids=BAD_NODES)
async def test_a_bad_field_is_named(shared_url: URL, tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    nodes = make_nodes()
    nodes[BAD] = {key: value for key, value in (nodes[BAD] | changes).items() if value is not GONE}
    write_corpus(tmp_path, nodes)
    error = await refusal(shared_url, tmp_path)
    id_ = str(nodes[BAD]["id"])
    named = re.escape(id_[:60] if id_.isprintable() else repr(id_))
    assert len(error.problems) == error.total == 1
    assert re.match(rf"node {BAD} \(id {named}.*\): {field}: ", error.problems[0])
    assert str(tmp_path) in str(error)


@pytest.mark.parametrize(("json_node", "expected"), BAD_JSON.values(), ids=BAD_JSON)
async def test_a_node_that_cannot_be_read_is_named(
    shared_url: URL, tmp_path: Path, json_node: bytes, expected: str
) -> None:
    nodes = [json.dumps(node).encode() for node in make_nodes()]
    nodes[BAD] = json_node
    (write_corpus(tmp_path) / NODES).write_bytes(b"[" + b", ".join(nodes) + b"]")
    message = str(await refusal(shared_url, tmp_path))
    assert re.search(expected, message)
    assert str(tmp_path) in message


@pytest.mark.parametrize(("vector", "expected"), BAD_VECTORS.values(), ids=BAD_VECTORS)
async def test_a_bad_vector_is_named(shared_url: URL, tmp_path: Path, vector: list[float], expected: str) -> None:
    vectors = make_vectors()
    vectors[BAD] = vector
    write_corpus(tmp_path, vectors=vectors)
    error = await refusal(shared_url, tmp_path)
    assert error.total == 1
    assert error.problems[0].startswith(f"node {BAD} (id {BAD_ID}): vector: {expected}")


async def test_twenty_problems_are_shown_and_the_rest_is_counted(shared_url: URL, tmp_path: Path) -> None:
    nodes, vectors = make_nodes(30), make_vectors(30)
    for node in nodes[2:27]:
        node["urgency"] = "soon"
    vectors[2] = 0  # a second problem of the same node
    error = await refusal(shared_url, write_corpus(tmp_path, nodes, vectors))
    assert error.total == 26
    assert len(error.problems) == 20
    assert [line.partition(" (id")[0] for line in error.problems] == ["node 2", *(f"node {n}" for n in range(2, 21))]
    assert "26 problems, nothing was written" in str(error)
    assert str(error).endswith("\n  and 6 more")


async def test_one_bad_node_among_100_000_is_named(shared_url: URL, tmp_path: Path) -> None:
    nodes = [{"id": f"mem_{n}", "human_content": "Hi"} for n in range(100_000)]
    nodes[77_777]["created_at"] = "2026-13-01"
    vectors = np.ones((100_000, 4), np.float32)
    error = await refusal(shared_url, write_corpus(tmp_path, nodes, vectors))
    assert error.total == 1
    assert error.problems[0].startswith("node 77777 (id mem_77777): created_at: found '2026-13-01'")
