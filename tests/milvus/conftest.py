from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

from tests.milvus.servers import Milvus, MilvusServer
from tests.milvus.wheel import real_milvus_missing


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


def _empty(uri: str) -> None:
    client = MilvusClient(uri, timeout=30)
    for collection in client.list_collections(timeout=30):
        for alias in client.list_aliases(collection, timeout=30)["aliases"]:
            client.drop_alias(alias, timeout=30)
    for collection in client.list_collections(timeout=30):
        client.drop_collection(collection, timeout=30)
    client.close()
