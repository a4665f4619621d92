"""Whatever is asked: an answer or a `MemstoreError`, never an error of the database, never another tenant's memory."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable, Coroutine
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstore.errors import MemstoreError
from memstore.models import DecayTier, MemoryType, NeuroType
from memstore.store import Filters, Order, SearchPlan, Weights
from tests.store.conformance.worlds import World, everywhere, memory

pytestmark = everywhere

# Text as it comes, half UTF-16 pairs and NULs among it, and text that means something to PostgreSQL.
punctuated = st.text(f"{string.punctuation}ab \0", max_size=30)
anything = st.text(st.characters(codec=None, exclude_categories=())) | punctuated
sql = st.sampled_from(["tea", "'; DROP TABLE x", "a & b | !c <-> d:*", "%s", "$1", "${x}", "{}", "[]", "\\x00", "NULL"])
texts = st.lists(anything | sql, max_size=5).map(" ".join)
numbers = st.floats(width=32) | st.integers(-3, 3) | st.floats()
vectors = st.lists(numbers, min_size=4, max_size=4) | st.lists(numbers, max_size=6) | st.none()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
times = st.datetimes(timezones=st.none() | st.timezones())
kinds: dict[str, st.SearchStrategy[Any]] = {
    "conversation_id": texts | st.lists(texts, max_size=3),
    "session_id": st.uuids() | st.lists(st.uuids(), max_size=2),
    "agent_id": st.uuids() | st.sets(st.uuids(), max_size=2),
    "user_id": st.uuids() | texts,
    "source": texts | st.sets(texts, max_size=3),
    "memory_type": st.sampled_from(MemoryType) | st.lists(st.sampled_from(MemoryType)) | texts,
    "neuro_type": st.sampled_from(NeuroType) | st.none(),
    "decay_tier": st.sampled_from(DecayTier) | st.frozensets(st.sampled_from(DecayTier)),
    "cluster_id": st.integers() | st.lists(st.integers(-2, 5), max_size=3),
    "tags_any": st.lists(texts, max_size=3) | st.none(),
    "tags_all": st.lists(texts, max_size=3) | st.none(),
    "created_from": times | st.none(),
    "created_to": times | st.none(),
    "importance_min": st.integers() | st.integers(0, 11),
    "importance_max": st.integers() | st.integers(0, 11),
    "metadata": st.dictionaries(anything, json_values, max_size=3),
    "include_deleted": st.booleans(),
    "include_expired": st.booleans(),
}
filters = st.fixed_dictionaries({}, optional=kinds).map(lambda given: Filters(**given))
few_filters = st.sampled_from(sorted(kinds)).flatmap(
    lambda name: kinds[name].map(lambda value: Filters(**{name: value}))
)
weights = st.builds(Weights, numbers, numbers) | st.just(Weights())
searches = st.fixed_dictionaries(
    {"text": texts | st.none(), "vector": vectors},
    optional={
        "filters": filters | few_filters,
        "limit": st.integers(-1, 1_001),
        "min_score": numbers,
        "weights": weights,
        "plan": st.sampled_from(SearchPlan),
        "explain": st.booleans(),
    },
)
pages = st.fixed_dictionaries(
    {"filters": filters | few_filters}, optional={"after": texts, "order": st.sampled_from(Order)}
)

Ask = Callable[[dict[str, Any], dict[str, Any]], None]


def attempts(count: int) -> Callable[[Ask], Callable[[], None]]:
    def of(ask: Ask) -> Callable[[], None]:
        quiet = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        generated: Callable[[], None] = quiet(given(searches, pages)(ask))
        return generated

    return of


async def is_answered(world: World, asked: Coroutine[Any, Any, Any]) -> bool:
    try:
        found = await asked
    except MemstoreError:
        return False
    memories = [getattr(each, "memory", each) for each in found] if not isinstance(found, int) else []
    assert {each.tenant_id for each in memories} <= {world.owner.tenant}
    return True


async def trial(world: World, count: int) -> None:
    neighbour = world.store.scope((await world.neighbour()).tenant)
    for scope in (world.scope, neighbour):
        await scope.add_many(memory(number, tags={"topics": ["tea"]}, source="tea") for number in range(30))
    loop = asyncio.get_running_loop()
    answered = []

    @attempts(count)
    def ask(search: dict[str, Any], page: dict[str, Any]) -> None:
        for asked in (world.scope.search(**search), world.scope.list(**page), world.scope.count(page["filters"])):
            answered.append(asyncio.run_coroutine_threadsafe(is_answered(world, asked), loop).result())

    await asyncio.to_thread(ask)
    # As many as are needed to find something, and to be refused for something.
    assert count / 5 < sum(answered) < len(answered)


async def test_any_question_gets_an_answer(world: World) -> None:
    assert set(kinds) == {each.name for each in fields(Filters)}
    await trial(world, 100)


@pytest.mark.soak
async def test_any_of_many_questions_gets_an_answer(world: World) -> None:
    await trial(world, 2_000)
