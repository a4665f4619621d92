from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy.engine import URL

from memstore.errors import MemstoreError, UnknownReferenceError, UnknownTenantError, UnknownUserError
from memstore.migrations import grant
from memstore.store import MemoryChange, MemoryScope, PostgresStore
from tests.store.conformance.worlds import Owner, Place, memory
from tests.store.postgres.conftest import OpenStore
from tests.support import Server

NOBODY = uuid4()
# What a memory names that its tenant does not have.
MISSING: dict[str, tuple[type[MemstoreError], str]] = {
    "user_id": (UnknownUserError, "Run: memstore user create"),
    "agent_id": (UnknownReferenceError, "no such agent"),
    "session_id": (UnknownReferenceError, "no such session"),
}


@pytest_asyncio.fixture(params=["owner", "application"])
async def store(
    request: pytest.FixtureRequest, server: Server, url: URL, open_store: OpenStore
) -> AsyncIterator[PostgresStore]:
    if request.param == "owner":
        yield open_store()
        return
    role = f"role_of_{url.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    await grant(url, role)
    store = open_store(url.set(username=role))
    yield store
    await store.close()


async def refusals(scope: MemoryScope, field: str, value: UUID) -> list[MemstoreError]:
    named: dict[str, Any] = {field: value}
    ways: list[Coroutine[Any, Any, Any]] = [
        scope.add(memory(100, **named)),
        scope.add_many([memory(101), memory(102, **named)]),
    ]
    if field != "user_id":
        ways.append(scope.update("m1", MemoryChange(**named), version=1))
    refused = []
    for way in ways:
        with pytest.raises(MemstoreError) as caught:
            await way
        refused.append(caught.value)
    return refused


async def test_who_is_not_in_the_tenant_cannot_be_named(store: PostgresStore, owner: Owner, url: URL) -> None:
    other = Owner()
    await other.settle(Place("owner", url))
    scope = store.scope(owner.tenant)
    await scope.add(memory(1))
    theirs = {"user_id": other.ann, "agent_id": other.agent, "session_id": other.session}
    for field, (kind, words) in MISSING.items():
        for value in (NOBODY, theirs[field]):
            refused = await refusals(scope, field, value)
            assert {type(each) for each in refused} == {kind}
            assert all(words in str(each) for each in refused)
    with pytest.raises(UnknownUserError):
        await store.scope(owner.tenant, NOBODY).add(memory(2))
    with pytest.raises(UnknownTenantError, match="Run: memstore tenant create"):
        await store.scope(NOBODY).add(memory(2))
    assert await scope.count() == 1


async def test_what_the_database_says_of_a_row_is_not_repeated(store: PostgresStore, owner: Owner) -> None:
    scope = store.scope(owner.tenant)
    await scope.add(memory(1, key="her secret"))
    for again in (memory(1, content="her secret"), memory(2, key="her secret"), memory(3, agent_id=NOBODY)):
        with pytest.raises(MemstoreError) as caught:
            await scope.add(again)
        error: BaseException | None = caught.value
        assert "secret" not in str(error)
        assert error is not None
        assert (error.__cause__, error.__suppress_context__) == (None, True)
