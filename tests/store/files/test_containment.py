from __future__ import annotations

import json
from itertools import product
from typing import Any

import psycopg
import pytest

from memstore.store.files.containment import contains, same_json
from tests.support import Server, raw_dsn

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    -0.0,
    10**20,
    1e20,
    "",
    "1",
    "true",
    [],
    [1],
    [1.0, True],
    [1, 1],
    [True],
    [None],
    [[1]],
    [[]],
    [{}],
    [{"a": 1}],
    [{"a": 1, "b": [2]}, 3],
    {},
    {"a": 1},
    {"a": True},
    {"a": None},
    {"a": [1, 2]},
    {"a": {"b": 1}},
    {"a": {}},
    {"b": 1},
]


def test_json_is_compared_as_jsonb_is(server: Server) -> None:
    pairs = list(product(VALUES, VALUES))
    with psycopg.connect(raw_dsn(server.url)) as connection:
        rows = connection.execute(
            "SELECT jsonb_build_object('x', one) @> jsonb_build_object('x', other), one = other "
            "FROM unnest(%s::jsonb[], %s::jsonb[]) WITH ORDINALITY AS u (one, other, n) ORDER BY n",
            tuple([json.dumps(each) for each in side] for side in zip(*pairs, strict=True)),
        ).fetchall()
    found = [(contains({"x": one}, {"x": other}), same_json(one, other)) for one, other in pairs]
    assert [pair for pair, row, ours in zip(pairs, rows, found, strict=True) if row != ours] == []


@pytest.mark.parametrize(("whole", "part"), [({"a": 1, "b": 2}, {}), ({"a": 1, "b": 2}, {"b": 2.0})])
def test_other_keys_do_not_matter(whole: dict[str, Any], part: dict[str, Any]) -> None:
    assert contains(whole, part)
    assert not contains(part, whole)
