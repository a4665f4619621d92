from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.support import Server


@pytest.fixture(scope="module")
def shared_url(server: Server) -> Iterator[URL]:
    url = server.create_database(4)
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture
async def shared_engine(shared_url: URL) -> AsyncIterator[AsyncEngine]:
    """One database for all tests of a file that commit nothing."""
    engine = create_engine(shared_url)
    yield engine
    await engine.dispose()
