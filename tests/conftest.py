from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.support import LOCOMO, MAJORS, Server
from tests.tenants import seed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CreateDatabase = Callable[[int | None], URL]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the developer has set."""
    for name in ("DATABASE_URL", "MEMSTORE_EMBEDDING_DIM", "MEMSTORE_LOCK_TIMEOUT_MS", "MEMSTORE_MIGRATION_WAIT_S"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"pg{major}")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def create_database(server: Server) -> Iterator[CreateDatabase]:
    """Create databases that are dropped after the test: empty for None, else migrated with embeddings of that width."""
    created: list[URL] = []

    def create(embedding_dim: int | None) -> URL:
        created.append(server.create_database(embedding_dim))
        return created[-1]

    yield create
    for url in created:
        server.drop_database(url)


@pytest.fixture
def empty_url(create_database: CreateDatabase) -> URL:
    return create_database(None)


@pytest.fixture
def url(create_database: CreateDatabase) -> URL:
    """A database at head, its embeddings 4 wide."""
    return create_database(4)


@pytest_asyncio.fixture
async def engine(url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def empty_engine(empty_url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(empty_url)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def seeded(engine: AsyncEngine) -> AsyncEngine:
    """The owner's engine, with a row in each table for Acme and for Initech."""
    await seed(engine)
    return engine


@pytest.fixture
def locomo() -> Path:
    if not LOCOMO.is_dir():
        pytest.skip(f"the conversations are not there: {LOCOMO}")
    return LOCOMO
