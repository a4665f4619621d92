from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from memstore.migrations import grant
from memstore.store import MemoryStore, PostgresStore
from memstore.store.files import FileStore
from tests.store.conformance.worlds import DIM, Owner, Place, World
from tests.support import Server, run_in_thread


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest, server: Server) -> Iterator[Place]:
    """One database for all tests of a kind: each test has a tenant of its own in it."""
    if request.param == "files":
        yield Place("files")
        return
    url = server.create_database(DIM)
    if request.param == "owner":
        yield Place("owner", url)
        server.drop_database(url)
        return
    role = f"role_of_{url.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    run_in_thread(grant(url, role))
    yield Place("application", url, role)
    server.drop_database(url)
    server.execute(f"DROP ROLE {role}")


@pytest_asyncio.fixture
async def world(place: Place, tmp_path: Path) -> AsyncIterator[World]:
    owner = Owner()
    await owner.settle(place)
    async with open_store(place, tmp_path) as store:
        yield World(place, store, owner)


def open_store(place: Place, folder: Path) -> MemoryStore:
    if place.url is None:
        return FileStore(folder)
    return PostgresStore(place.url if place.role is None else place.url.set(username=place.role), pool_size=4)
