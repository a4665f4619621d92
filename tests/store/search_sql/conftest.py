from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.store.search_sql.memories import OTHER, Memory, insert, random_memories
from tests.support import Server, run_in_thread

FEW = random_memories(120, 4)


@pytest.fixture(scope="module")
def few_url(server: Server) -> Iterator[URL]:
    """A database with a few memories, and those of another tenant, for tests that commit nothing."""
    url = server.create_database(4)

    async def fill() -> None:
        engine = create_engine(url)
        await insert(engine, FEW)
        await insert(engine, [Memory("theirs", ("tea", "opal"), FEW[0].embedding)], OTHER)
        await engine.dispose()

    run_in_thread(fill())
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture
async def few(few_url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(few_url)
    yield engine
    await engine.dispose()
