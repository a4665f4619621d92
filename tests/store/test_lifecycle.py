from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product, repeat
from math import inf, nan
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore.models import ActiveMemory, DecayTier, MemoryNode, NeuroType, Tenant
from memstore.store import LIFETIME, decay_score, decay_score_of, expiry, is_live

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
TENANT = UUID(int=1)
CENTURY = 36_525 * 86_400.0

SCORES = text("""
    SELECT memstore.decay_score(created_at, decay_lambda, importance, access_count, :at) AS score,
           memstore.decay_score(created_at, decay_lambda, importance, access_count, :at + grown) AS later
    FROM unnest(CAST(:created AS timestamptz[]), CAST(:lambdas AS float8[]), CAST(:importances AS int[]),
                CAST(:accesses AS bigint[]), CAST(:grown AS interval[]))
        AS input(created_at, decay_lambda, importance, access_count, grown)
""")


@pytest.mark.parametrize("count", [50_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
async def test_random_scores_are_within_bounds_never_grow_and_are_pythons(engine: AsyncEngine, count: int) -> None:
    random, size = np.random.default_rng(7), 50_000
    async with engine.connect() as connection:
        for _ in range(count // size):
            ages = np.where(random.random(size) < 0.5, random.uniform(-1, CENTURY, size), 0)
            ages += np.where(ages == 0, np.exp(random.uniform(-1, np.log(CENTURY), size)) - 1, 0)
            created = [NOW - timedelta(seconds=age) for age in ages.tolist()]
            lambdas = np.exp(random.uniform(np.log(1e-6), np.log(100), size)).tolist()
            importances = random.integers(1, 11, size).tolist()
            accesses = (np.exp(random.uniform(0, np.log(1e9), size)) - 0.5).astype(int).tolist()
            grown = [timedelta(seconds=more) for more in np.exp(random.uniform(-5, 20, size)).tolist()]
            values = {"created": created, "lambdas": lambdas, "importances": importances, "accesses": accesses}
            rows = (await connection.execute(SCORES, values | {"at": NOW, "grown": grown})).all()
            scores, later = np.array(rows, dtype=float).T
            assert ((scores >= 0) & (scores <= 1)).all()
            assert (later <= scores).all()
            inputs = zip(created, lambdas, importances, accesses, repeat(NOW), strict=False)
            expected = np.array([decay_score(*each) for each in inputs])
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


async def test_no_input_is_an_error(engine: AsyncEngine) -> None:
    times = ["-infinity", "infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 00:00:00+00", "2026-01-01Z", None]
    rates = ["'NaN'", "'Infinity'", "'-Infinity'", "-1", "0", "1e-320", "1e308", "NULL"]
    counts = ["-9223372036854775808", "0", "9223372036854775807", "NULL"]
    values = [", ".join(f"({value})" for value in each) for each in (rates, ["-2147483648", "0", "11", "NULL"], counts)]
    literals = ", ".join("(NULL)" if time is None else f"('{time}')" for time in times)
    query = text(f"""
        SELECT memstore.decay_score(c::timestamptz, r::float8, i::integer, n::bigint, a::timestamptz)
        FROM (VALUES {literals}) AS t(c), (VALUES {literals}) AS u(a), (VALUES {values[0]}) AS v(r),
             (VALUES {values[1]}) AS w(i), (VALUES {values[2]}) AS x(n)
    """)
    async with engine.connect() as connection:
        scores = list(await connection.scalars(query))
    assert len(scores) == len(times) ** 2 * len(rates) * 4 * len(counts)
    assert all(score is not None and 0 <= score <= 1 for score in scores)


async def test_python_bounds_its_input_as_the_database_does(engine: AsyncEngine) -> None:
    ages = [timedelta(seconds=-1), timedelta(0), timedelta(days=3), timedelta(days=365 * 2000)]
    rates = [None, nan, inf, -inf, -1.0, 0.0, 0.5, 1e308]
    importances, accesses = [None, -5, 0, 7, 10, 2**31 - 1], [None, -1, 0, 5, 10**9, 2**63 - 1]
    inputs = list(product(ages, rates, importances, accesses))
    query = text("""
        SELECT memstore.decay_score(c, r, i, n, :at) FROM unnest(
            CAST(:c AS timestamptz[]), CAST(:r AS float8[]), CAST(:i AS int[]), CAST(:n AS bigint[])) AS t(c, r, i, n)
    """)
    created, rate, importance, access = (list(column) for column in zip(*inputs, strict=True))
    values: dict[str, Any] = {"c": [NOW - age for age in created], "r": rate, "i": importance, "n": access, "at": NOW}
    async with engine.connect() as connection:
        scores = list(await connection.scalars(query, values))
    expected = [decay_score(NOW - age, r, i, n, NOW) for age, r, i, n in inputs]
    np.testing.assert_allclose(np.array(scores, dtype=float), expected, rtol=0, atol=1e-6)


def test_a_score_falls_with_age_and_the_slower_the_more_often_it_is_used() -> None:
    week = NOW - timedelta(days=7)
    fresh, old = decay_score(NOW, 0.1, 10, 0, NOW), decay_score(week, 0.1, 10, 0, NOW)
    assert [fresh, old] == pytest.approx([1.0, np.exp(-0.7)])
    assert old < decay_score(week, 0.1, 10, 5, NOW) < decay_score(week, 0.1, 10, 10**9, NOW) < fresh
    assert decay_score(week, 0.1, 5, 0, NOW) == pytest.approx(old / 2)


def test_times_with_and_without_a_zone_are_not_mixed() -> None:
    with pytest.raises(TypeError, match="offset-naive and offset-aware"):
        decay_score(datetime(2026, 1, 1))


async def test_the_score_of_a_memory_is_that_of_the_view(engine: AsyncEngine) -> None:
    rates = (None, 0.5)
    async with AsyncSession(engine) as session:
        session.add(Tenant(id=TENANT, name="Acme"))
        for number, (neuro_type, rate) in enumerate(product(NeuroType, rates)):
            given = {"neuro_type": neuro_type, "decay_lambda": rate, "importance": 3 + number, "access_count": number}
            created = NOW - timedelta(days=3 * number)
            session.add(MemoryNode(tenant_id=TENANT, id=str(number), content="x", created_at=created, **given))
        await session.commit()
        now = (await session.execute(text("SELECT now()"))).scalar_one()
        memories = {memory.id: memory for memory in await session.scalars(select(MemoryNode))}
        shown = {row.id: row.decay_score for row in await session.scalars(select(ActiveMemory))}
    assert shown == pytest.approx({id_: decay_score_of(memory, now) for id_, memory in memories.items()}, abs=1e-6)
    assert len(set(shown.values())) == len(rates) * len(NeuroType)


async def test_a_memory_expires_when_the_database_says_so(engine: AsyncEngine) -> None:
    cases = list(product([None, *DecayTier], [None, NOW - timedelta(days=1), LATER]))
    async with AsyncSession(engine) as session:
        session.add(Tenant(id=TENANT, name="Acme"))
        for number, (tier, asked) in enumerate(cases):
            memory = MemoryNode(tenant_id=TENANT, id=str(number), content="x", created_at=NOW, decay_tier=tier)
            memory.expires_at = asked
            session.add(memory)
        await session.commit()
        memories = {memory.id: memory for memory in await session.scalars(select(MemoryNode))}
    for number, (tier, asked) in enumerate(cases):
        memory = memories[str(number)]
        assert memory.expiry == expiry(NOW, tier, asked), (tier, asked)
        for at in (NOW, NOW + timedelta(days=40)):
            assert is_live(memory, at) is (memory.expiry is None or memory.expiry > at)
    assert {memory.expiry for memory in memories.values()} >= {NOW + days for days in LIFETIME.values()}


def test_a_deleted_memory_is_not_live() -> None:
    assert is_live(MemoryNode(content="x", deleted_at=None, expiry=None))
    assert not is_live(MemoryNode(content="x", deleted_at=NOW, expiry=None))
    assert not is_live(MemoryNode(content="x", deleted_at=None, expiry=NOW), NOW)


async def test_pinning_stops_expiry_unpinning_restores_it_and_an_explicit_time_wins(engine: AsyncEngine) -> None:
    born = datetime.now(UTC) - timedelta(days=8)
    async with AsyncSession(engine) as session:
        session.add(Tenant(id=TENANT, name="Acme"))
        memory = MemoryNode(tenant_id=TENANT, id="one", content="x", created_at=born, decay_tier=DecayTier.SHORT)
        session.add(memory)

        async def live() -> bool:
            await session.flush()
            return (await session.scalar(select(ActiveMemory.id))) == "one"

        assert not await live()
        memory.decay_tier = DecayTier.PINNED
        assert await live()
        memory.decay_tier = DecayTier.SHORT
        assert not await live()
        memory.expires_at = LATER
        assert await live()
        memory.decay_tier, memory.expires_at = DecayTier.LONG, born
        assert not await live()
