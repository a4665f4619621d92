from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import PermissionDeniedError, SettingsError
from memstore.migrations import grant
from memstore.store import RetentionPolicy, RetentionProgress, retention, retention_run, run_retention

ACME, INITECH = UUID(int=1), UUID(int=2)
DAY = timedelta(days=1)
ALL = RetentionPolicy(activities=90 * DAY, metrics=30 * DAY, sessions=7 * DAY, memories=True)

# 25 rows of each tenant for each kind of row: the first 10 or so are due. Ages are in days, of one hour less or more.
ROWS = """
    INSERT INTO memstore.tenants (id, name) SELECT tenant, 'x' FROM tenant;
    INSERT INTO memstore.agents (tenant_id, id, name) SELECT tenant, tenant, 'x' FROM tenant;
    INSERT INTO memstore.activities (tenant_id, agent_id, action, created_at)
    SELECT tenant, tenant, 'act', now() - n * interval '9 days 1 hour' FROM tenant, generate_series(1, 25) AS n;
    INSERT INTO memstore.metrics (tenant_id, metric_name, metric_type, value, timestamp)
    SELECT tenant, 'm', 'gauge', n, now() - n * interval '3 days 1 hour' FROM tenant, generate_series(1, 25) AS n;
    INSERT INTO memstore.sessions (tenant_id, agent_id, status, updated_at, expires_at, metadata)
    SELECT tenant, tenant, status, now() - n * interval '1 day 1 hour', now() - n * interval '1 hour',
           jsonb_build_object('was', status, 'days', n)
    FROM tenant, generate_series(-5, 20) AS n, unnest('{active, closed, expired, archived}'::text[]) AS status;
    INSERT INTO memstore.memory_nodes (tenant_id, id, content, decay_tier, deleted_at, created_at)
    SELECT tenant, tier || n, 'x', nullif(tier, 'none'), CASE WHEN n % 2 = 0 THEN now() END,
           now() - n * interval '1 day 1 hour'
    FROM tenant, generate_series(1, 25) AS n, unnest('{short, medium, pinned, none}'::text[]) AS tier;
    INSERT INTO memstore.memory_access_log (tenant_id, memory_id, access_type)
    SELECT tenant_id, id, 'read' FROM memstore.memory_nodes
"""
STATE = {
    "activities": "SELECT count(*) FROM memstore.activities",
    "metrics": "SELECT count(*) FROM memstore.metrics",
    "sessions": "SELECT jsonb_agg(to_jsonb(s) ORDER BY id) FROM memstore.sessions AS s",
    "memories": "SELECT jsonb_agg(id ORDER BY tenant_id, id) FROM memstore.memory_nodes",
    "accesses": "SELECT count(*) FROM memstore.memory_access_log",
}
DUE = {"expired sessions": 42, "closed sessions": 28, "activities": 32, "metrics": 32, "expired memories": 38}


@pytest_asyncio.fixture
async def aged(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """Two tenants with rows of all ages."""
    async with engine.begin() as connection:
        await connection.execute(
            text(f"CREATE TEMP TABLE tenant AS SELECT unnest('{{{ACME},{INITECH}}}'::uuid[]) AS tenant")
        )
        for statement in ROWS.split(";"):
            await connection.execute(text(statement))
        await connection.execute(text("DROP TABLE tenant"))
    yield engine


async def state(engine: AsyncEngine) -> dict[str, Any]:
    async with engine.connect() as connection:
        return {name: await connection.scalar(text(query)) for name, query in STATE.items()}


async def call(engine: AsyncEngine, function: str) -> Any:
    async with engine.begin() as connection:
        return await connection.scalar(text(f"SELECT memstore.{function}"))


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
async def test_a_run_does_what_is_due_and_nothing_else(aged: AsyncEngine, batch_size: int) -> None:
    before, progress = await state(aged), list[RetentionProgress]()
    result = await run_retention(aged, ALL, batch_size=batch_size, on_progress=progress.append)
    assert {step.name: (step.due, step.done) for step in result.steps} == {name: (n, n) for name, n in DUE.items()}
    after = await state(aged)
    assert (after["activities"], after["metrics"], after["accesses"]) == (50 - 32, 50 - 32, before["accesses"])
    for session in after["sessions"]:
        was, days = session["metadata"]["was"], session["metadata"]["days"]
        expected = "expired" if was == "active" and days >= 0 else "archived" if was == "closed" and days >= 7 else was
        assert session["status"] == expected, session
    assert len(after["memories"]) == len(before["memories"]) - 38
    assert not {"short7", "short25"} & set(after["memories"])
    assert {"short6", "medium25", "pinned25", "none25"} <= set(after["memories"])
    for name, due in DUE.items():
        done = [each.done for each in progress if each.phase == name]
        assert (done[0], done[-1]) == (0, due)
        assert max(more - less for less, more in pairwise(done)) <= batch_size
    again = await run_retention(aged, ALL)
    assert {(step.due, step.done) for step in again.steps} == {(0, 0)}


async def test_a_dry_run_counts_and_changes_nothing(aged: AsyncEngine) -> None:
    before, progress = await state(aged), list[RetentionProgress]()
    result = await run_retention(aged, ALL, dry_run=True, on_progress=progress.append)
    assert {step.name: (step.due, step.done) for step in result.steps} == {name: (n, 0) for name, n in DUE.items()}
    assert (await state(aged), progress) == (before, [])


@pytest.mark.parametrize(
    ("policy", "changed"),
    [
        (RetentionPolicy(activities=90 * DAY), {"activities"}),
        (RetentionPolicy(metrics=30 * DAY), {"metrics"}),
        (RetentionPolicy(sessions=7 * DAY), {"sessions"}),
        (RetentionPolicy(memories=True), {"memories"}),
    ],
)
async def test_only_what_is_asked_for_is_done(aged: AsyncEngine, policy: RetentionPolicy, changed: set[str]) -> None:
    before = await state(aged)
    await run_retention(aged, policy)
    after = await state(aged)
    assert {name for name in STATE if after[name] != before[name]} == changed


async def test_each_batch_is_committed_by_itself(aged: AsyncEngine) -> None:
    def stop(progress: RetentionProgress) -> None:
        if progress.done >= 10:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_retention(aged, RetentionPolicy(metrics=30 * DAY), batch_size=5, on_progress=stop)
    assert (await state(aged))["metrics"] == 50 - 10


async def test_two_runs_at_once_share_the_work(aged: AsyncEngine) -> None:
    results = await asyncio.gather(*(run_retention(aged, ALL, batch_size=1) for _ in range(3)))
    done = {name: sum(step.done for result in results for step in result.steps if step.name == name) for name in DUE}
    assert done == DUE


async def test_rows_in_use_are_passed_over_and_found_by_the_next_run(aged: AsyncEngine) -> None:
    policy = RetentionPolicy(metrics=30 * DAY)
    async with aged.connect() as user:
        await user.execute(text("SELECT FROM memstore.metrics WHERE value = 25 FOR UPDATE"))
        result = await asyncio.wait_for(run_retention(aged, policy, batch_size=4), 60)
        assert [(step.due, step.done) for step in result.steps] == [(32, 30)]
        assert result.steps[0].left == 2
    result = await run_retention(aged, policy)
    assert [(step.due, step.done, step.left) for step in result.steps] == [(2, 2, 0)]


# A row that names rows that are due: until it is free, these cannot go.
NAMING = {
    "activities": (
        RetentionPolicy(activities=90 * DAY),
        "INSERT INTO memstore.feedback (tenant_id, activity_id, feedback_type) "
        "SELECT tenant_id, id, 'x' FROM memstore.activities ORDER BY created_at LIMIT 1",
        "UPDATE memstore.feedback SET title = 'x'",
    ),
    "expired memories": (
        RetentionPolicy(memories=True),
        "INSERT INTO memstore.memory_relationships (tenant_id, source_id, target_id, relationship_type) "
        f"VALUES ('{ACME}', 'short20', 'short21', 'pattern')",
        "UPDATE memstore.memory_relationships SET confidence = 0.5",
    ),
}


@pytest.mark.parametrize("name", NAMING)
async def test_a_row_in_use_that_names_what_is_due_is_waited_for_briefly(
    aged: AsyncEngine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(retention_run, "LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(retention_run, "ATTEMPTS", 2)
    policy, insert, use = NAMING[name]
    async with aged.begin() as connection:
        await connection.execute(text(insert))
    async with aged.connect() as user:
        await user.execute(text(use))
        result = await run_retention(aged, policy)
        assert [(step.due, step.done, step.left) for step in result.steps] == [(DUE[name], 0, DUE[name])]
    result = await run_retention(aged, policy)
    assert [(step.due, step.done, step.left) for step in result.steps] == [(DUE[name], DUE[name], 0)]


async def test_a_batch_that_waited_in_vain_is_tried_again(aged: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_run, "LOCK_TIMEOUT_MS", 20)
    policy, insert, use = NAMING["activities"]
    async with aged.begin() as connection:
        await connection.execute(text(insert))
    failed = asyncio.Event()
    event.listen(aged.sync_engine, "handle_error", lambda _: failed.set())
    async with aged.connect() as user, asyncio.TaskGroup() as tasks:
        await user.execute(text(use))
        running = tasks.create_task(run_retention(aged, policy))
        await failed.wait()
        await user.rollback()
    due = DUE["activities"]
    assert [(step.due, step.done, step.left) for step in running.result().steps] == [(due, due, 0)]


async def test_runs_that_delete_linked_memories_at_once_get_out_of_each_others_way(aged: AsyncEngine) -> None:
    async with aged.begin() as connection:
        # A deadlock is looked for after this long: a second, by default.
        await connection.execute(text(f"ALTER DATABASE {aged.url.database} SET deadlock_timeout = '20ms'"))
        await connection.execute(
            text("""
                INSERT INTO memstore.memory_nodes (tenant_id, id, content, expires_at)
                SELECT :tenant, 'm' || n, 'x', now() - n * interval '1 s' FROM generate_series(1, 2000) AS n
            """),
            {"tenant": ACME},
        )
        await connection.execute(
            text("""
                INSERT INTO memstore.memory_relationships (tenant_id, source_id, target_id, relationship_type)
                SELECT :tenant, 'm' || n, 'm' || 1 + (n * 7 + k * 311) % 2000, 'pattern'
                FROM generate_series(1, 2000) AS n, generate_series(1, 4) AS k
                WHERE n <> 1 + (n * 7 + k * 311) % 2000 ON CONFLICT DO NOTHING
            """),
            {"tenant": ACME},
        )
    await aged.dispose()
    policy = RetentionPolicy(memories=True)
    results = await asyncio.gather(*(run_retention(aged, policy, batch_size=100) for _ in range(3)))
    assert sum(step.done for result in results for step in result.steps) == 2000 + DUE["expired memories"]
    assert (await run_retention(aged, policy)).steps[0].due == 0


async def test_a_function_takes_a_batch_and_returns_its_count(aged: AsyncEngine) -> None:
    assert [await call(aged, "purge_metrics('30 days', 20)") for _ in range(3)] == [20, 12, 0]
    assert [await call(aged, "purge_activities('90 days', 20)") for _ in range(3)] == [20, 12, 0]
    assert [await call(aged, "purge_expired_memories(20)") for _ in range(3)] == [20, 18, 0]
    assert [await call(aged, "cleanup_expired_sessions(30)") for _ in range(3)] == [30, 12, 0]
    assert [await call(aged, "archive_closed_sessions('7 days', 20)") for _ in range(3)] == [20, 8, 0]


async def test_the_wrappers_call_the_functions(aged: AsyncEngine) -> None:
    async with aged.begin() as connection:
        assert await retention.cleanup_expired_sessions(connection, batch=3) == 3
        assert await retention.archive_closed_sessions(connection, 7 * DAY) == 28
        assert await retention.purge_activities(connection, 90 * DAY, batch=3) == 3
        assert await retention.purge_metrics(connection, 30 * DAY) == 32
        assert await retention.purge_expired_memories(connection, batch=3) == 3


async def test_a_batch_of_none_is_refused(aged: AsyncEngine) -> None:
    functions = ("cleanup_expired_sessions(", "purge_expired_memories(", "purge_metrics('1 day', ")
    before = await state(aged)
    for function in functions:
        for batch in ("0", "-1", "NULL"):
            with pytest.raises(DBAPIError, match=f"batch is {batch}, one or more is needed"):
                await call(aged, f"{function}{batch})")
    async with aged.connect() as connection:
        with pytest.raises(SettingsError, match="the batch size is 0. Needed: 1 to 100,000"):
            await retention.purge_metrics(connection, DAY, batch=0)
        with pytest.raises(SettingsError, match="Needed: zero to 100 years"):
            await retention.purge_metrics(connection, -DAY)
    assert await state(aged) == before


@pytest.mark.parametrize("function", ["purge_activities", "purge_metrics", "archive_closed_sessions"])
@pytest.mark.parametrize("age", ["'-1 day'", "NULL"])
async def test_an_age_below_zero_or_none_is_refused(aged: AsyncEngine, function: str, age: str) -> None:
    before = await state(aged)
    with pytest.raises(DBAPIError, match="older_than is .*, an interval of zero or more is needed"):
        await call(aged, f"{function}({age})")
    assert await state(aged) == before


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing is asked for"):
        RetentionPolicy()
    for age in (-DAY, 36_501 * DAY):
        with pytest.raises(SettingsError, match="metrics are to be kept for .* Needed: zero to 100 years"):
            RetentionPolicy(metrics=age)


@pytest.mark.parametrize("batch_size", [0, 100_001])
async def test_a_batch_size_out_of_range_is_refused(aged: AsyncEngine, batch_size: int) -> None:
    with pytest.raises(SettingsError, match=f"the batch size is {batch_size}. Needed: 1 to 100,000"):
        await run_retention(aged, ALL, batch_size=batch_size)


async def test_a_role_that_sees_one_tenant_is_told_so(aged: AsyncEngine, url: URL) -> None:
    role = f"retention_{url.database}"
    async with aged.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    await grant(aged, role)
    application = create_engine(url.set(username=role))
    with pytest.raises(PermissionDeniedError, match=f"role '{role}' is confined to one tenant at a time"):
        await run_retention(application, ALL)
    await application.dispose()
    async with aged.begin() as connection:
        await connection.execute(text(f"DROP OWNED BY {role}"))
        await connection.execute(text(f"DROP ROLE {role}"))
