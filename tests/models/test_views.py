from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore import models
from memstore.models import (
    ActiveMemory,
    Agent,
    AgentStats,
    Base,
    DecayTier,
    MemoryNode,
    RecentFeedbackSummary,
    VectorSearchStats,
    View,
)
from tests.tenants import ACME, INITECH, contents

GUIDE, IDLE = UUID(int=11), UUID(int=12)
MINE = {"tenant_id": ACME}
LONG_AGO, LATER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
VIEWS: list[Any] = [mapper.class_ for mapper in View.registry.mappers]
COLUMNS_OF_VIEWS = """
    SELECT table_name, array_agg(column_name::text)
    FROM information_schema.columns JOIN information_schema.views USING (table_schema, table_name)
    WHERE table_schema = 'memstore' GROUP BY table_name
"""


async def add(engine: AsyncEngine, *rows: Base) -> None:
    async with AsyncSession(engine) as session:
        for row in (models.Tenant(id=ACME, name="Acme"), *rows):
            session.add(row)
            await session.flush()
        await session.commit()


async def read(engine: AsyncEngine, view: type[View], *columns: str) -> set[Any]:
    """Read columns of all rows of a view, no row twice."""
    async with AsyncSession(engine) as session:
        rows = (await session.scalars(select(view))).all()
        found = {tuple(getattr(row, name) for name in columns) for row in rows}
    assert len(found) == len(rows)
    return found


async def test_each_view_is_mapped_column_by_column(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = {name: set(columns) for name, columns in await connection.execute(text(COLUMNS_OF_VIEWS))}
    assert found == {view.__tablename__: {column.name for column in inspect(view).columns} for view in VIEWS}


async def test_each_view_is_read_row_by_row_with_all_of_its_columns(seeded: AsyncEngine) -> None:
    for view in VIEWS:
        async with AsyncSession(seeded) as session:
            rows = (await session.scalars(select(view))).all()
            assert rows
            for row in rows:
                for name, column in inspect(view).columns.items():
                    assert getattr(row, name) is None or isinstance(getattr(row, name), column.type.python_type), name
                assert await session.get(view, inspect(row).identity, populate_existing=True) is row


async def test_agent_stats_are_not_multiplied(engine: AsyncEngine) -> None:
    sessions = [models.Session(**MINE, id=UUID(int=each), agent_id=GUIDE, expires_at=LATER) for each in range(3)]
    sessions[2].status = models.SessionStatus.CLOSED
    statuses = [models.ActivityStatus.SUCCESS, models.ActivityStatus.FAILURE]
    activities = [
        models.Activity(
            **MINE,
            agent_id=GUIDE,
            session_id=session.id,
            action="x",
            status=statuses[number],
            cost=Decimal(number + 1),
            duration_ms=10 + number,
            created_at=LONG_AGO + timedelta(days=number),
        )
        for session in sessions
        for number in range(2)
    ]
    activities[0].status = models.ActivityStatus.PARTIAL
    await add(
        engine,
        Agent(**MINE, id=GUIDE, name="Guide"),
        Agent(**MINE, id=IDLE, name="Idle"),
        *sessions,
        *activities,
        models.Activity(**MINE, action="of nobody", cost=Decimal(100)),
    )
    columns = [column.name for column in inspect(AgentStats).columns]
    assert await read(engine, AgentStats, *columns) == {
        (ACME, GUIDE, "Guide", 3, 2, 6, 2, 3, 10.5, Decimal(9), LONG_AGO + timedelta(days=1)),
        (ACME, IDLE, "Idle", 0, 0, 0, 0, 0, 0.0, Decimal(0), None),
    }


async def test_recent_feedback_is_of_the_last_seven_days(engine: AsyncEngine) -> None:
    now = datetime.now(UTC)

    def feedback(age: timedelta, **columns: Any) -> models.Feedback:
        return models.Feedback(**MINE | {"feedback_type": "bug", "created_at": now - age} | columns)

    day, hour, status = timedelta(days=1), timedelta(hours=1), models.FeedbackStatus
    await add(
        engine,
        Agent(**MINE, id=GUIDE, name="Guide"),
        *(feedback(each * hour, agent_id=GUIDE, status=word) for each, word in enumerate(status, start=1)),
        feedback(7 * day - hour, agent_id=GUIDE, feedback_type="praise"),
        feedback(7 * day + hour, agent_id=GUIDE, feedback_type="praise"),
        feedback(8 * day, agent_id=GUIDE, feedback_type="old"),
        feedback(day, severity=models.Severity.CRITICAL),
        feedback(2 * day, severity=models.Severity.CRITICAL, status=status.RESOLVED),
    )
    columns = [column.name for column in inspect(RecentFeedbackSummary).columns]
    assert await read(engine, RecentFeedbackSummary, *columns) == {
        (ACME, GUIDE, "bug", "medium", 5, 2, 1, now - hour),
        (ACME, GUIDE, "praise", "medium", 1, 1, 0, now - 7 * day + hour),
        (ACME, None, "bug", "critical", 2, 1, 1, now - day),
    }
    async with AsyncSession(engine) as session:
        nobodys = (
            await session.scalars(select(RecentFeedbackSummary).where(RecentFeedbackSummary.agent_id.is_(None)))
        ).one()
        assert (nobodys.severity, type(nobodys.severity)) == ("critical", models.Severity)


# What a memory is like, and whether it is active.
MEMORIES: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, True),
    "old": ({"created_at": LONG_AGO}, True),
    "deleted": ({"deleted_at": LONG_AGO}, False),
    "deleted later": ({"deleted_at": LATER}, False),
    "expired": ({"expires_at": LONG_AGO}, False),
    "expires later": ({"expires_at": LATER}, True),
    "new and short": ({"decay_tier": DecayTier.SHORT}, True),
    "old and long": ({"created_at": LONG_AGO, "decay_tier": DecayTier.LONG}, False),
    "old and pinned": ({"created_at": LONG_AGO, "decay_tier": DecayTier.PINNED}, True),
    "expired but pinned": ({"expires_at": LONG_AGO, "decay_tier": DecayTier.PINNED}, True),
    "deleted and pinned": ({"deleted_at": LONG_AGO, "decay_tier": DecayTier.PINNED}, False),
    "asked for longer": ({"created_at": LONG_AGO, "decay_tier": DecayTier.SHORT, "expires_at": LATER}, True),
    "asked for shorter": ({"decay_tier": DecayTier.LONG, "expires_at": LONG_AGO}, False),
}


async def test_active_memories_are_neither_deleted_nor_expired(engine: AsyncEngine) -> None:
    await add(engine, *(MemoryNode(**MINE, id=name, content="x", **columns) for name, (columns, _) in MEMORIES.items()))
    assert await read(engine, ActiveMemory, "id") == {(name,) for name, (_, active) in MEMORIES.items() if active}


async def test_a_pinned_memory_stays_until_it_is_unpinned(engine: AsyncEngine) -> None:
    await add(engine, MemoryNode(**MINE, id="one", content="x", created_at=LONG_AGO, decay_tier=DecayTier.SHORT))
    for tier, active in ((DecayTier.PINNED, True), (DecayTier.MEDIUM, False), (None, True)):
        async with AsyncSession(engine) as session:
            (await session.get_one(MemoryNode, (ACME, "one"))).decay_tier = tier
            await session.commit()
        assert bool(await read(engine, ActiveMemory, "id")) is active, tier


async def test_a_memory_scores_by_its_rate_of_decay(engine: AsyncEngine) -> None:
    ten = {"importance": 10, "created_at": datetime.now(UTC) - timedelta(days=10)}
    await add(
        engine,
        MemoryNode(**MINE, **ten, id="episodic", content="x"),
        MemoryNode(**MINE, **ten, id="semantic", content="x", neuro_type="semantic"),
        MemoryNode(**MINE, **ten, id="procedural", content="x", neuro_type="procedural"),
        MemoryNode(**MINE, **ten, id="chosen", content="x", neuro_type="procedural", decay_lambda=0.5),
        MemoryNode(**MINE, **ten, id="accessed", content="x", access_count=10),
        MemoryNode(**MINE, **ten, id="none", content="x", decay_lambda=0),
        MemoryNode(**MINE, **ten | {"importance": 5}, id="unimportant", content="x", decay_lambda=0),
    )
    scores = dict(await read(engine, ActiveMemory, "id", "decay_score"))
    kinds = {"episodic": 0.301, "semantic": 0.670, "procedural": 0.819}
    others = {"chosen": 0.0067, "accessed": 0.702, "none": 1, "unimportant": 0.5}
    assert scores == pytest.approx(kinds | others, rel=0.02)


# What a memory of importance 5 then scores.
EXTREMES = {
    "created_at = '-infinity'": 0,
    "created_at = '-infinity', decay_lambda = 0": 0.5,
    "created_at = '-infinity', decay_lambda = 100, access_count = 2147483647": 0,
    "created_at = 'infinity'": 0.5,
    "created_at = 'infinity', decay_lambda = 100, access_count = 2147483647": 0.5,
    "created_at = '4713-01-01 00:00:00+00 BC'": 0,
    "created_at = '294276-12-31 00:00:00+00'": 0.5,
    "created_at = '1900-01-01', decay_lambda = 100": 0,
    "created_at = '1900-01-01', decay_lambda = 1e-45": 0.5,
    "created_at = '1900-01-01', access_count = 2147483647": 0,
}


@pytest.mark.parametrize("extreme", EXTREMES)
async def test_one_extreme_row_breaks_the_view_for_nobody(engine: AsyncEngine, extreme: str) -> None:
    await add(
        engine,
        MemoryNode(**MINE, id="extreme", content="x"),
        MemoryNode(**MINE, id="new", content="x", importance=10),
    )
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE memstore.memory_nodes SET {extreme} WHERE id = 'extreme'"))
    async with AsyncSession(engine) as session:
        query = select(ActiveMemory.id, ActiveMemory.decay_score)
        scores = {row.id: row.decay_score for row in await session.execute(query)}
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores == pytest.approx({"extreme": EXTREMES[extreme], "new": 1}, abs=0.01)


async def test_vector_search_stats_count_by_source_type_and_model(engine: AsyncEngine) -> None:
    def embedding(source_type: str, source_id: str, width: int, day: int, **columns: Any) -> models.Embedding:
        return models.Embedding(
            **MINE,
            source_type=source_type,
            source_id=source_id,
            model=f"{width} wide",
            embedding=[1.0] * width,
            content_hash=bytes(32),
            created_at=LONG_AGO + timedelta(days=day),
            updated_at=LONG_AGO + timedelta(days=day * 10),
            **columns,
        )

    await add(
        engine,
        models.EmbeddingModel(name="2 wide", dimensions=2),
        models.EmbeddingModel(name="3 wide", dimensions=3),
        embedding("document", "one", 2, 2),
        embedding("document", "one", 2, 1, chunk_index=1),
        embedding("document", "two", 2, 3),
        embedding("document", "one", 3, 4),
        embedding("memory", "one", 2, 5),
    )
    columns = [column.name for column in inspect(VectorSearchStats).columns]
    days = [LONG_AGO + timedelta(days=day) for day in range(51)]
    assert await read(engine, VectorSearchStats, *columns) == {
        (ACME, "document", "2 wide", 2, 3, 2, days[1], days[30]),
        (ACME, "document", "3 wide", 3, 1, 1, days[4], days[40]),
        (ACME, "memory", "2 wide", 2, 1, 1, days[5], days[50]),
    }


async def add_one(session: AsyncSession, view: Any) -> None:
    session.add(view(tenant_id=ACME))


async def change_one(session: AsyncSession, view: Any) -> None:
    row = (await session.scalars(select(view).limit(1))).one()
    changed = next(each.key for each in inspect(view).column_attrs if not each.columns[0].primary_key)
    setattr(row, changed, None)


async def delete_one(session: AsyncSession, view: Any) -> None:
    await session.delete((await session.scalars(select(view).limit(1))).one())


@pytest.mark.parametrize("write", [add_one, change_one, delete_one])
async def test_a_view_is_not_written(seeded: AsyncEngine, write: Callable[[AsyncSession, Any], Any]) -> None:
    before = [await contents(seeded, tenant) for tenant in (ACME, INITECH)]
    for view in VIEWS:
        async with AsyncSession(seeded) as session:
            session.add(Agent(tenant_id=ACME, name="written along with it"))
            await write(session, view)
            with pytest.raises(TypeError, match=f"{view.__name__} is a view, to read only"):
                await session.commit()
    assert [await contents(seeded, tenant) for tenant in (ACME, INITECH)] == before


# active_memories is simple enough for PostgreSQL to hand these on to memory_nodes.
STATEMENTS: dict[str, Any] = {
    "insert": insert(ActiveMemory).values(tenant_id=ACME, id="new", content="x"),
    "update": update(ActiveMemory).values(content="changed"),
    "delete": delete(ActiveMemory),
    "update agents": update(AgentStats).values(name="changed"),
    "delete feedback": delete(RecentFeedbackSummary),
    "delete embeddings": delete(VectorSearchStats),
}


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_a_view_takes_no_statement_that_writes(seeded: AsyncEngine, statement: str) -> None:
    before = await contents(seeded, ACME)
    async with AsyncSession(seeded) as session:
        with pytest.raises((TypeError, DBAPIError)):
            await session.execute(STATEMENTS[statement])
        await session.commit()
    assert await contents(seeded, ACME) == before
