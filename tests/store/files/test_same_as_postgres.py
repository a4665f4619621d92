from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from memstore.database import connecting
from memstore.models import NeuroType
from memstore.store import (
    Filters,
    MemoryScope,
    NewTenant,
    PostgresStore,
    SearchPlan,
    SearchResult,
    create_tenant,
)
from memstore.store.files import FileStore
from memstore.transfer import import_corpus
from tests.support import LOCOMO, Server, run_in_thread

pytestmark = [
    pytest.mark.parametrize("server", [18], ids=["pg18"], indirect=True, scope="session"),
    pytest.mark.skipif(not LOCOMO.is_dir(), reason="the conversations are not there"),
]
QUESTIONS = 50
SIDES = {"vector": {"vector"}, "text": {"text"}, "hybrid": {"vector", "text"}}
FILTERS = {
    "all": Filters(),
    "one conversation": Filters(conversation_id=["locomo-26-s1", "locomo-26-s2"]),
    "two clusters": Filters(cluster_id=(3, 4), neuro_type=NeuroType.EPISODIC),
    "somebody's": Filters(tags_any=["Melanie"]),
    "nobody's": Filters(source=()),
}


@pytest.fixture(scope="module")
def locomo_url(server: Server) -> Iterator[tuple[Any, UUID]]:
    url = server.create_database(384)
    tenants: list[UUID] = []

    async def load() -> None:
        async with connecting(url) as engine:
            tenants.append(await create_tenant(engine, NewTenant("LoCoMo")))
            await import_corpus(engine, LOCOMO, tenant_id=tenants[0])

    run_in_thread(load())
    yield url, tenants[0]
    server.drop_database(url)


@pytest_asyncio.fixture
async def scopes(locomo_url: tuple[Any, UUID], tmp_path: Path) -> AsyncIterator[tuple[MemoryScope, MemoryScope]]:
    url, tenant = locomo_url
    (tmp_path / str(tenant)).symlink_to(LOCOMO)
    async with PostgresStore(url, pool_size=2) as database, FileStore(tmp_path) as files:
        yield database.scope(tenant), files.scope(tenant)


def questions() -> list[dict[str, Any]]:
    asked = json.loads((LOCOMO / "queries.json").read_text())
    vectors = np.load(LOCOMO / "queries.npy")
    step = len(asked) // QUESTIONS
    return [{"text": asked[n]["question"], "vector": vectors[n]} for n in range(0, step * QUESTIONS, step)]


@pytest.mark.parametrize("side", SIDES)
async def test_each_finds_the_same_in_the_same_order_with_the_same_scores(
    scopes: tuple[MemoryScope, MemoryScope], side: str
) -> None:
    for question in questions():
        asked = {name: question[name] for name in SIDES[side]}
        expected, found = [await scope.search(**asked, plan=SearchPlan.EXACT) for scope in scopes]
        assert len(expected) == 10
        assert_same(expected, found)


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
async def test_each_finds_the_same_of_what_filters_leave(
    scopes: tuple[MemoryScope, MemoryScope], filters: Filters
) -> None:
    for question in questions()[:5]:
        for limit, min_score in ((3, None), (40, 0.4)):
            expected, found = [
                await scope.search(**question, filters=filters, limit=limit, min_score=min_score, plan=SearchPlan.EXACT)
                for scope in scopes
            ]
            assert_same(expected, found)
    assert len({await scope.count(filters) for scope in scopes}) == 1


def assert_same(expected: SearchResult, found: SearchResult) -> None:
    assert [hit.memory.id for hit in found] == [hit.memory.id for hit in expected]
    for hit, other in zip(found, expected, strict=True):
        assert hit.score == pytest.approx(other.score, abs=1e-6)
        assert hit.vector_score == pytest.approx(other.vector_score, abs=1e-6)
        assert hit.text_score == pytest.approx(other.text_score, abs=1e-6)
        assert hit.found_by == other.found_by
