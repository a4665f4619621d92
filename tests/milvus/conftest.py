from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

import memstore.milvus as mirror
from memstore.database import create_engine
from memstore.milvus import MilvusSettings
from memstore.store import PostgresStore
from tests.conftest import CreateDatabase
from tests.milvus.servers import Milvus, MilvusServer
from tests.milvus.wheel import real_milvus_missing
from tests.milvus.worlds import DIM, World

# A collection takes a server some seconds: on one these are long trials, whole files of them and single ones.
LONG_ON_A_SERVER = {
    "test_backup",
    "test_damaged_backups",
    "test_killed_moves",
    "test_moving",
    "test_pruning",
    "test_readers_through_a_switch",
    "test_restore",
    "test_unequal",
    "test_unfinished_backups",
    "test_ids_that_are_close_together_are_read_too",
    "test_what_a_server_refuses_by_itself_is_set_aside",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        param = item.callspec.params.get("milvus") if hasattr(item, "callspec") else None
        is_long = LONG_ON_A_SERVER & {item.path.stem, getattr(item, "originalname", "")}
        if item.path.parent == Path(__file__).parent and is_long and param == "real":
            item.add_marker(pytest.mark.soak)


@pytest.fixture(scope="session")
def real_milvus_can_be() -> None:
    """Nothing, or a skip that says why."""
    missing = real_milvus_missing()
    if missing is not None:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def milvus_server(request: pytest.FixtureRequest) -> Iterator[MilvusServer]:
    """The real Milvus, running: one for all tests, and one for each worker of xdist that comes to need it."""
    request.getfixturevalue("real_milvus_can_be")
    server = MilvusServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def real_milvus(milvus_server: MilvusServer) -> Iterator[Milvus]:
    """The real Milvus, running and empty."""
    yield Milvus("real", milvus_server.uri, milvus_server)
    if not milvus_server.is_running():
        milvus_server.start()
    _empty(milvus_server.uri)


@pytest.fixture
def lite_milvus(tmp_path: Path) -> Iterator[Milvus]:
    """A new Milvus Lite."""
    uri = str(tmp_path / "milvus.db")
    yield Milvus("lite", uri)
    server_manager_instance.release_server(uri)


@pytest.fixture(params=["lite", "real"])
def milvus(request: pytest.FixtureRequest) -> Milvus:
    """Each engine in turn, empty."""
    milvus: Milvus = request.getfixturevalue(f"{request.param}_milvus")
    return milvus


@pytest_asyncio.fixture
async def connection(milvus: Milvus) -> AsyncIterator[mirror.Milvus]:
    """Memstore's own connection to each engine in turn."""
    async with await mirror.open_milvus(MilvusSettings(uri=milvus.uri)) as connection:
        yield connection


@pytest_asyncio.fixture
async def lite(lite_milvus: Milvus) -> AsyncIterator[mirror.Milvus]:
    """Memstore's own connection to a new Milvus Lite."""
    async with await mirror.open_milvus(MilvusSettings(uri=lite_milvus.uri)) as connection:
        yield connection


@pytest_asyncio.fixture
async def world(create_database: CreateDatabase, milvus: Milvus) -> AsyncIterator[World]:
    """A new PostgreSQL beside each engine in turn."""
    url, settings = create_database(DIM), MilvusSettings(uri=milvus.uri)
    engine = create_engine(url)
    async with PostgresStore(url) as store, await mirror.open_milvus(settings) as connection:
        world = World(url, engine, settings, connection, store)
        await world.settle()
        yield world
    await engine.dispose()


def _empty(uri: str) -> None:
    client = MilvusClient(uri, timeout=30)
    for collection in client.list_collections(timeout=30):
        for alias in client.list_aliases(collection, timeout=30)["aliases"]:
            client.drop_alias(alias, timeout=30)
    for collection in client.list_collections(timeout=30):
        client.drop_collection(collection, timeout=30)
    client.close()
