from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.store.search_sql.memories import (
    OTHER,
    TENANT,
    Memory,
    add_tenant,
    expected,
    explain,
    insert,
    random_memories,
    run,
    same,
    search,
)
from tests.support import Server, run_in_thread

ANN = "00000000-0000-0000-0000-000000000011"
MANY = [
    Memory(
        each.id,
        (*each.words, *(["seldom"] if number % 700 == 3 else []), *(["tenth"] if number % 10 == 3 else [])),
        each.embedding,
        {"user_id": ANN if number % 20 == 3 else None, "source": "rare" if number % 500 == 7 else "mail"},
    )
    for number, each in enumerate(random_memories(4000, 4))
]
NORTH = np.array([0.3, -1.0, 2.0, 0.1])
QUESTIONS = [
    "seldom",
    "seldom tea",
    "tea",
    "tea rain",
    "tenth seldom moth rain",
    "unheard tenth",
    "quartz opal moth tea",
]


@pytest.fixture(scope="module")
def many_url(server: Server) -> Iterator[URL]:
    """4,000 memories of a tenant, and some of another that hold its rare word."""
    url = server.create_database(4)

    async def fill() -> None:
        engine = create_engine(url)
        await add_tenant(engine)
        await run(
            engine,
            "INSERT INTO memstore.users (tenant_id, id, auth_provider, external_id) "
            f"VALUES ('{TENANT}', '{ANN}', 'test', 'ann')",
        )
        await insert(engine, MANY)
        await insert(engine, [Memory(f"theirs{number}", ("seldom",), None) for number in range(500)], OTHER)
        await run(engine, "ANALYZE memstore.memory_nodes")
        await engine.dispose()

    run_in_thread(fill())
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture
async def many(many_url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(many_url)
    await run(engine, f"SELECT memstore.refresh_search_statistics('{TENANT}')")
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("question", QUESTIONS)
async def test_the_words_of_many_memories_are_found_as_those_of_few(many: AsyncEngine, question: str) -> None:
    words = sorted(question.split())
    assert (await explain(many, query_text=question))["text_plan"] == "words"
    for limit in (5, 100):
        found = await search(many, query_text=question, match_count=limit)
        wanted = expected(MANY, words, limit=limit)
        # Of many that hold just the same words some are found.
        assert [round(row[1], 6) for row in found] == [round(row[1], 6) for row in wanted]
        assert len(set(found)) == len(found)
        both = await search(many, query_text=question, query_embedding=NORTH, match_count=limit)
        best = expected(MANY, words, NORTH, limit=limit)
        assert [round(row[1], 4) for row in both] == [round(row[1], 4) for row in best]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_small_scope_of_many_memories_is_read_as_a_whole(many: AsyncEngine, question: str) -> None:
    words = sorted(question.split())
    arguments = {"query_text": question, "of_user": ANN, "match_count": 50}
    assert (await explain(many, **arguments))["text_plan"] == "scope"
    wanted = expected(MANY, words, NORTH, limit=50, inside=lambda m: m.columns["user_id"] == ANN)
    assert same(await search(many, **arguments, query_embedding=NORTH), wanted)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_filters_that_leave_few_do_not_come_short(many: AsyncEngine, question: str) -> None:
    found = await search(many, query_text=question, filters={"source": "rare"}, match_count=50)
    wanted = expected(MANY, sorted(question.split()), limit=50, inside=lambda m: m.columns["source"] == "rare")
    assert same(found, wanted)


async def test_without_statistics_words_are_weighed_by_a_sample(many: AsyncEngine) -> None:
    await run(many, "DELETE FROM memstore.word_statistics", "DELETE FROM memstore.search_statistics")
    for question in QUESTIONS:
        found = await search(many, query_text=question)
        wanted = expected(MANY, sorted(question.split()))
        assert [round(row[1], 1) for row in found] == [round(row[1], 1) for row in wanted], question
    assert (await explain(many, query_text="tea"))["scope_rows"] >= 2001
