from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.engine import URL

from memstore.store import PostgresStore
from tests.store.conformance.worlds import Owner, Place
from tests.support import raw_dsn

OpenStore = Callable[..., PostgresStore]
APPLICATION = "memstore store"


@pytest_asyncio.fixture
async def owner(url: URL) -> Owner:
    owner = Owner()
    await owner.settle(Place("owner", url))
    return owner


@pytest.fixture
def tenant(owner: Owner) -> UUID:
    return owner.tenant


@pytest_asyncio.fixture
async def open_store(url: URL) -> AsyncIterator[OpenStore]:
    """Open stores that are closed after the test."""
    opened: list[PostgresStore] = []

    def open_store(at: URL = url, **options: Any) -> PostgresStore:
        opened.append(PostgresStore(at, **options))
        return opened[-1]

    yield open_store
    for store in opened:
        await store.close()


@pytest_asyncio.fixture
async def admin(url: URL) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the owner, beside the stores."""
    connection = await asyncpg.connect(raw_dsn(url))
    yield connection
    await connection.close()
