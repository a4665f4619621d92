from __future__ import annotations

import os
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

# What these are about is done in Python: the command line, Alembic's files and environment, a host's revisions, runners
# that are killed. One server is enough, the newest of `--majors`; those marked soak run on all, but those of Milvus.
_HERE = Path(__file__).parent
ON_ONE_MAJOR = tuple(
    _HERE / name
    for name in (
        "cli",
        "hosts",
        "migrations/lint",
        "milvus",
        "migrations/sums",
        "migrations/operations/test_progress.py",
        "migrations/test_environment.py",
        "migrations/test_faults.py",
        "migrations/test_killed_runner.py",
        "migrations/test_lock.py",
        "store/indexes/test_killed_builds.py",
        "transfer/test_killed_import.py",
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--majors", help="PostgreSQL majors to test on, such as 16; by default all that the wheel brings")
    parser.addoption("--milvus", choices=["lite", "real"], help="the Milvus to test on; by default both")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("--majors")
    majors = {int(major) for major in asked.split(",") if major.isdecimal()} if asked else set(MAJORS)
    if not majors or not majors <= set(MAJORS):
        raise pytest.UsageError(f"--majors is {asked}, and the wheel brings {', '.join(map(str, MAJORS))}")
    engine = config.getoption("--milvus")
    wanted = [item for item in items if _is_wanted(item, majors) and _is_on(item, engine)]
    config.hook.pytest_deselected(items=list(set(items).difference(wanted)))
    items[:] = wanted


def _is_on(item: pytest.Item, engine: str | None) -> bool:
    """Return whether a test is on this Milvus, or on none."""
    param = item.callspec.params.get("milvus") if hasattr(item, "callspec") else None
    needs_real = param == "real" or (param is None and "milvus_server" in getattr(item, "fixturenames", ()))
    return engine is None or (engine == "real" if needs_real else param in (None, engine))


def _is_wanted(item: pytest.Item, majors: set[int]) -> bool:
    major = item.callspec.params.get("server") if hasattr(item, "callspec") else None
    is_long = item.get_closest_marker("soak") is not None and not item.path.is_relative_to(_HERE / "milvus")
    is_one_enough = not is_long and any(map(item.path.is_relative_to, ON_ONE_MAJOR))
    return major is None or major in ({max(majors)} if is_one_enough else majors)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the developer has set."""
    for name in list(os.environ):
        if name == "DATABASE_URL" or name.startswith(("MEMSTORE_", "MILVUS_")):
            monkeypatch.delenv(name)


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
