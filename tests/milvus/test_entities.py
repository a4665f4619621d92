from __future__ import annotations

import math
from typing import Any
from uuid import uuid5

import numpy as np
import pytest

from memstore.milvus.entities import UnfitEntityError, entity_id, entity_of
from tests.milvus.rows import TENANT, row, spec

SPEC = spec(3)
VECTOR = np.array([1.0, 2.0, 3.0], dtype=np.float32)


def entity(**changed: Any) -> dict[str, Any]:
    return entity_of(SPEC, row(7, changed.pop("embedding", VECTOR), **changed))


def test_an_entity_has_every_field_and_no_null() -> None:
    found = entity()
    assert list(found) == list(SPEC.names)
    assert [name for name, value in found.items() if value is None] == []
    assert found["id"] == entity_id(TENANT, "mem_000007") == str(uuid5(TENANT, "mem_000007"))
    assert (found["user_id"], found["org_id"], found["decay_tier"]) == ("", str(TENANT), "")
    assert (found["created_at"], found["last_accessed"], found["expires_at"]) == (1_700_000_000, 0, 0)
    assert (found["is_deleted"], entity(is_deleted=object())["is_deleted"]) == (False, True)


def test_two_tenants_have_two_entities_of_one_id() -> None:
    other = TENANT.__class__(int=9)
    assert entity_id(TENANT, "mem_1") != entity_id(other, "mem_1")


def test_the_first_second_of_1970_is_not_never() -> None:
    assert entity(expires_at=0.0)["expires_at"] == 1
    assert entity(expires_at=-0.5)["expires_at"] == -1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"embedding": np.array([1, math.nan, 0])}, "embedding is not finite"),
        ({"embedding": np.array([1, math.inf, 0])}, "embedding is not finite"),
        ({"embedding": np.zeros(3)}, "embedding has no cosine"),
        ({"embedding": np.array([1e30, 0, 0])}, "embedding has no cosine"),
        ({"embedding": np.array([1.0, 2.0])}, r"embedding is of shape \(2,\), not \(3,\)"),
        ({"embedding": None}, "embedding is null"),
        ({"conversation_id": "é" * 511}, "conversation_id has 1,022 bytes, more than 1,020"),
        ({"node_id": "x" * 1_021}, "node_id has 1,021 bytes"),
        ({"importance": 128}, "importance is 128, not within -128 and 127"),
        ({"importance": None}, "importance is null"),
        ({"access_count": 2**31}, "access_count is 2147483648"),
        ({"created_at": math.inf}, "created_at is at infinity"),
        ({"created_at": -math.inf}, "created_at is at infinity"),
        ({"decay_lambda": math.nan}, "decay_lambda is nan"),
        ({"decay_lambda": 1e39}, "decay_lambda is 1e"),
    ],
)
def test_what_milvus_would_take_and_should_not_is_refused(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnfitEntityError, match=reason):
        entity(**changed)


def test_a_text_of_just_as_many_bytes_fits() -> None:
    assert len(entity(conversation_id="é" * 510)["conversation_id"].encode()) == 1_020
