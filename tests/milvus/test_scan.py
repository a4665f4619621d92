from __future__ import annotations

from uuid import UUID

import pytest

from memstore.milvus import Milvus, entity_store
from memstore.milvus import collections as ours
from tests.milvus.rows import entities, spec
from tests.milvus.worlds import vectors

NAME = "memories_unified__0001"


@pytest.mark.parametrize("batch", [3, 1_000])
async def test_a_scan_reads_every_entity_once(connection: Milvus, batch: int) -> None:
    await ours.create(connection, NAME, spec(8), {})
    await ours.ensure_indexes(connection, NAME, spec(8), connection.capabilities.default_index)
    written = set()
    for number, count in enumerate((30, 5, 1, 64)):
        made = entities(vectors(count, seed=number, dim=8), tenant=UUID(int=number + 1))
        await entity_store.upsert(connection, NAME, made)
        written |= {each["id"] for each in made}
    read = [each["id"] async for page in entity_store.scan(connection, NAME, ["id"], batch=batch) for each in page]
    assert len(read) == len(set(read))
    assert set(read) == written


async def test_ids_that_are_close_together_are_read_too(connection: Milvus) -> None:
    await ours.create(connection, NAME, spec(8), {})
    await ours.ensure_indexes(connection, NAME, spec(8), connection.capabilities.default_index)
    made = entities(vectors(50, dim=8))
    for number, each in enumerate(made):
        each["id"] = f"zz{number:04}"
    await entity_store.upsert(connection, NAME, made)
    read = [each["id"] async for page in entity_store.scan(connection, NAME, ["id"], batch=5) for each in page]
    assert sorted(read) == [each["id"] for each in made]
    some = entity_store.scan(connection, NAME, ["id", "version"], 'id < "zz0007"', batch=5)
    assert len([each async for page in some for each in page]) == 7
