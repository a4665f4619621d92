from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.store.search_sql.memories import TENANT, Memory, Row, add_tenant, call, expected, insert, run, same, search
from tests.support import Server, run_in_thread

ANN, BOB, GUIDE, CRITIC, MONDAY, TUESDAY = (str(UUID(int=number)) for number in range(11, 17))
NORTH = np.array([0.3, -1.0, 2.0, 0.1])


def columns(number: int) -> Row:
    """Make the columns of a memory from its number, so that each filter leaves some and not all."""
    return {
        "conversation_id": [None, "c1", "c2"][number % 3],
        "user_id": [ANN, BOB, None][number // 2 % 3],
        "agent_id": [GUIDE, CRITIC, None][number // 3 % 3],
        "session_id": [MONDAY, TUESDAY, None][number // 4 % 3],
        "source": ["mail", "it's", None][number // 5 % 3],
        "memory_type": ["fact", "skill", "general"][number % 3],
        "neuro_type": ["semantic", "episodic"][number % 2],
        "decay_tier": [None, "long", "pinned"][number // 2 % 3],
        "cluster_id": [None, -1, 0, 2147483647][number % 4],
        "importance": 1 + number % 10,
        "created_at": f"2099-01-{1 + number % 28:02}T12:00:00Z",
        "tags": [{}, {"topics": ["a", "b"]}, {"topics": ["b"], "moods": ["a", "c d"]}, {"topics": "a", "x": 1}][
            number % 4
        ],
        "metadata": [{}, {"a": 1, "b": {"c": [1, 2]}}, {"a": 2}][number // 2 % 3],
    }


MEMORIES = [
    Memory(
        f"m{number:02}",
        ("tea", "opal")[: 1 + number % 2],
        np.array([number % 7 - 3, number % 5, 1 + number % 3, -number % 4], dtype=np.float32),
        columns(number),
    )
    for number in range(60)
]


def tagged(row: Row) -> set[str]:
    return {tag for tags in row["tags"].values() if isinstance(tags, list) for tag in tags}


FILTERS: list[tuple[Row, Callable[[Row], bool]]] = [
    ({}, lambda _: True),
    ({"conversation_id": "c1"}, lambda row: row["conversation_id"] == "c1"),
    ({"conversation_id": ["c2", "c1", "c9"]}, lambda row: row["conversation_id"] is not None),
    ({"conversation_id": []}, lambda _: False),
    ({"session_id": MONDAY}, lambda row: row["session_id"] == MONDAY),
    ({"session_id": [MONDAY, TUESDAY.replace("-", "")]}, lambda row: row["session_id"] is not None),
    ({"agent_id": [CRITIC]}, lambda row: row["agent_id"] == CRITIC),
    ({"user_id": [ANN, BOB]}, lambda row: row["user_id"] is not None),
    ({"user_id": []}, lambda _: False),
    ({"source": "it's"}, lambda row: row["source"] == "it's"),
    ({"memory_type": ["fact", "skill"]}, lambda row: row["memory_type"] != "general"),
    ({"memory_type": "unheard"}, lambda _: False),
    ({"neuro_type": "semantic"}, lambda row: row["neuro_type"] == "semantic"),
    ({"decay_tier": ["pinned"]}, lambda row: row["decay_tier"] == "pinned"),
    ({"cluster_id": -1.0}, lambda row: row["cluster_id"] == -1),
    ({"cluster_id": [0, 2147483647]}, lambda row: row["cluster_id"] in (0, 2147483647)),
    ({"tags_any": ["a"]}, lambda row: "a" in tagged(row)),
    ({"tags_any": ["c d", "zzz"]}, lambda row: "c d" in tagged(row)),
    ({"tags_any": []}, lambda _: False),
    ({"tags_all": ["a", "b"]}, lambda row: {"a", "b"} <= tagged(row)),
    ({"tags_all": ["c d", "a"]}, lambda row: "c d" in tagged(row)),
    ({"tags_all": []}, lambda _: True),
    ({"created_from": "2099-01-07T12:00:00Z"}, lambda row: row["created_at"] >= "2099-01-07T12:00:00Z"),
    ({"created_from": "2099-01-07T12:00:00"}, lambda row: row["created_at"] >= "2099-01-07T12:00:00Z"),
    ({"created_to": "2099-01-07T13:00:00+01:00"}, lambda row: row["created_at"] < "2099-01-07T12:00:00Z"),
    ({"importance_min": 3}, lambda row: row["importance"] >= 3),
    ({"importance_max": 3.0}, lambda row: row["importance"] <= 3),
    ({"importance_min": 4, "importance_max": 6}, lambda row: 4 <= row["importance"] <= 6),
    ({"metadata": {"b": {"c": [2]}}}, lambda row: row["metadata"].get("a") == 1),
    ({"metadata": {}}, lambda _: True),
    (
        {"source": "mail", "tags_any": ["b"], "importance_min": 2},
        lambda row: row["source"] == "mail" and "b" in tagged(row) and row["importance"] >= 2,
    ),
]


@pytest.fixture(scope="module")
def filtered_url(server: Server) -> Iterator[URL]:
    url = server.create_database(4)

    async def fill() -> None:
        engine = create_engine(url)
        await add_tenant(engine)
        of_tenant = f"SELECT '{TENANT}', id::uuid"
        await run(
            engine,
            "INSERT INTO memstore.users (tenant_id, id, auth_provider, external_id) "
            f"{of_tenant}, 'test', id FROM unnest(ARRAY['{ANN}', '{BOB}']) AS id",
            "INSERT INTO memstore.agents (tenant_id, id, name) "
            f"{of_tenant}, 'x' FROM unnest(ARRAY['{GUIDE}', '{CRITIC}']) AS id",
            "INSERT INTO memstore.sessions (tenant_id, id, agent_id, expires_at) "
            f"{of_tenant}, '{GUIDE}', '2100-01-01' FROM unnest(ARRAY['{MONDAY}', '{TUESDAY}']) AS id",
        )
        await insert(engine, MEMORIES)
        await engine.dispose()

    run_in_thread(fill())
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture
async def filtered(filtered_url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(filtered_url)
    yield engine
    await engine.dispose()


async def test_each_filter_leaves_what_it_says(filtered: AsyncEngine) -> None:
    left = set()
    for filters, holds in FILTERS:

        def inside(memory: Memory, holds: Callable[[Row], bool] = holds) -> bool:
            return holds(memory.columns)

        wanted = expected(MEMORIES, ("opal", "tea"), NORTH, limit=100, inside=inside)
        found = await search(filtered, query_text="opal tea", query_embedding=NORTH, filters=filters, match_count=100)
        assert same(found, wanted), filters
        left.add(len(wanted))
        for plan in ("exact", "bits", "index"):
            near = await search(filtered, query_embedding=NORTH, filters=filters, match_count=100, plan=plan)
            assert same(near, expected(MEMORIES, (), NORTH, limit=100, inside=inside)), (plan, filters)
        said = await search(filtered, query_text="opal tea", filters=filters, match_count=100)
        assert same(said, expected(MEMORIES, ("opal", "tea"), limit=100, inside=inside)), filters
    assert len(left) > 8


async def test_a_time_without_a_zone_is_utc_wherever_the_session_is(filtered: AsyncEngine) -> None:
    async with filtered.connect() as connection:
        await connection.execute(text("SET LOCAL timezone = 'America/New_York'"))
        for moment, count in (("2099-01-28T12:00:00", 2), ("2099-01-28T12:00:00-01:00", 0)):
            filters = {"created_from": moment}
            found = await call(connection, "hybrid_search", query_text="tea", filters=filters, match_count=100)
            assert len(found.all()) == count


async def test_a_users_scope_holds_only_that_users(filtered: AsyncEngine) -> None:
    for user in (ANN, BOB):

        def inside(memory: Memory, user: str = user) -> bool:
            return bool(memory.columns["user_id"] == user)

        found = await search(filtered, query_text="opal", query_embedding=NORTH, of_user=user, match_count=100)
        assert same(found, expected(MEMORIES, ("opal",), NORTH, limit=100, inside=inside))
    assert await search(filtered, query_text="tea", of_user=ANN, filters={"user_id": BOB}) == []
    assert await search(filtered, query_text="tea", of_user=str(UUID(int=999))) == []


def refused(keys: str, values: list[Any], needed: str) -> list[tuple[Any, str]]:
    return [({key: value}, f"the filter {key} is .*{needed}") for key in keys.split() for value in values]


NEEDED: list[tuple[Any, str]] = [
    ([], "filters is array, an object is needed"),
    (None, "filters is null, an object is needed"),
    ({"sourc": "x"}, "there is no filter 'sourc'"),
    *refused(
        "conversation_id source memory_type neuro_type decay_tier",
        [1, None, True, {}, [1], ["x", None], [["x"]]],
        "a text or an array of texts",
    ),
    *refused(
        "session_id agent_id user_id",
        [1, None, "", "x", ["x"], [ANN, 1], ANN + "'", {"a": ANN}],
        "a UUID or an array of UUIDs",
    ),
    *refused(
        "cluster_id",
        ["1", 1.5, None, 2**31, -(2**31) - 1, [1, "2"], [None], [[1]]],
        "a whole number or an array of whole numbers",
    ),
    *refused("importance_min importance_max", ["1", 1.5, None, [1], 2**15, {}], "a whole number"),
    *refused("tags_any tags_all", ["a", None, [1], [["a"]], {}], "an array of texts"),
    *refused("created_from created_to", [1, None, "", "yester", "2026-13-01", ["2026-01-01"]], "a time as text"),
    *refused("metadata", [1, None, "x", []], "an object"),
    *refused("include_deleted include_expired", [1, None, "true", [True]], "true or false"),
]


async def test_what_is_no_filter_is_refused(filtered: AsyncEngine) -> None:
    for filters, message in NEEDED:
        try:
            found: object = await search(filtered, query_text="tea", filters=filters)
        except DBAPIError as error:
            found = str(error)
        assert re.search(message, str(found)), filters
