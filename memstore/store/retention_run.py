"""Retention for all tenants: batch after batch until nothing is due, each in a transaction of its own."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from asyncpg import DeadlockDetectedError, LockNotAvailableError
from sqlalchemy import Interval, TextClause, bindparam, text
from sqlalchemy.exc import DBAPIError

from ..database import driver_error, explained, open_connection
from ..errors import PermissionDeniedError, SettingsError
from .checks import check_age, check_batch
from .retention import (
    archive_closed_sessions,
    cleanup_expired_sessions,
    purge_activities,
    purge_expired_memories,
    purge_metrics,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BATCH_SIZE = 1_000
LOCK_TIMEOUT_MS = 2_000
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What is kept how long; what is None is left alone.

    activities: delete activities older than this.
    metrics: delete metrics older than this.
    sessions: expire active sessions past `expires_at`, and archive closed ones not changed for this long.
    memories: delete memories past their expiry, for good. Their access log stays.

    Raises:
        SettingsError: an age is not zero to 100 years, or nothing is asked for.
    """

    activities: timedelta | None = None
    metrics: timedelta | None = None
    sessions: timedelta | None = None
    memories: bool = False

    def __post_init__(self) -> None:
        ages = {"activities": self.activities, "metrics": self.metrics, "sessions": self.sessions}
        for name, age in ages.items():
            if age is not None:
                check_age(name, age)
        if not self.memories and all(age is None for age in ages.values()):
            raise SettingsError("nothing is asked for. Needed: at least one of activities, metrics, sessions, memories")


@dataclass(frozen=True, slots=True)
class RetentionProgress:
    """How far a run is: `phase` is what it is at, `total` what was due when that began."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RetentionStep:
    """What became of one kind of row.

    due: counted before.
    done: counted as it was done; 0 in a dry run.
    left: counted after a run that ended with less done than was due, because rows were in use the whole time.
    """

    name: str
    action: str
    due: int
    done: int
    left: int = 0


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """What a run did, step by step."""

    steps: tuple[RetentionStep, ...]
    dry_run: bool
    seconds: float


async def run_retention(
    engine: AsyncEngine,
    policy: RetentionPolicy,
    *,
    batch_size: int = BATCH_SIZE,
    dry_run: bool = False,
    on_progress: Callable[[RetentionProgress], None] = lambda _: None,
) -> RetentionResult:
    """Do what a policy says, for all tenants, and count it. Safe while the database is used, and several at once.

    Rows that somebody else has locked are passed over. A batch that waits for longer than two seconds, for a row that
    names one of its own, or that runs into a deadlock, is tried again a few times; then what is due is left to the next
    run, and counted. A run that was killed has done whole batches; run it again.

    Args:
        engine: connects as the owner of the tables, or another role that row level security does not confine.
        policy: what is kept how long.
        batch_size: rows in a transaction, 1 to 100,000.
        dry_run: count what is due, and change nothing.
        on_progress: called as each kind of row begins and after each batch of it; never in a dry run.

    Raises:
        PermissionDeniedError: the role is confined to one tenant at a time.
        SettingsError: the batch size is out of range.
    """
    check_batch(batch_size)
    started, steps = monotonic(), []
    async with open_connection(engine) as connection:
        with explained(engine.url):
            await _check_role(connection)
            for job in _jobs(policy):
                due = await _count(connection, job)
                if dry_run:
                    steps.append(RetentionStep(job.name, job.action, due, 0))
                else:
                    steps.append(await _run_job(connection, job, due, batch_size, on_progress))
    return RetentionResult(tuple(steps), dry_run, monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Job:
    """What happens to one kind of row: `due` counts it, `do` takes a connection and a `batch` of it."""

    name: str
    action: str
    due: TextClause
    do: Callable[..., Awaitable[int]]


def _jobs(policy: RetentionPolicy) -> list[_Job]:
    jobs = []
    if (age := policy.sessions) is not None:
        active = _due("sessions WHERE status = 'active' AND expires_at <= now()")
        closed = _due("sessions WHERE status = 'closed' AND updated_at < now() - :older_than", age)
        jobs.append(_Job("expired sessions", "expired", active, cleanup_expired_sessions))
        jobs.append(_Job("closed sessions", "archived", closed, partial(archive_closed_sessions, older_than=age)))
    if (age := policy.activities) is not None:
        old = _due("activities WHERE created_at < now() - :older_than", age)
        jobs.append(_Job("activities", "deleted", old, partial(purge_activities, older_than=age)))
    if (age := policy.metrics) is not None:
        old = _due("metrics WHERE timestamp < now() - :older_than", age)
        jobs.append(_Job("metrics", "deleted", old, partial(purge_metrics, older_than=age)))
    if policy.memories:
        expired = _due("memory_nodes WHERE expiry <= now()")
        jobs.append(_Job("expired memories", "deleted", expired, purge_expired_memories))
    return jobs


def _due(rows: str, older_than: timedelta | None = None) -> TextClause:
    count = text(f"SELECT count(*) FROM memstore.{rows}")  # noqa: S608 -- a constant of this module
    return count if older_than is None else count.bindparams(bindparam("older_than", older_than, Interval()))


async def _run_job(
    connection: AsyncConnection,
    job: _Job,
    due: int,
    batch_size: int,
    on_progress: Callable[[RetentionProgress], None],
) -> RetentionStep:
    done = 0
    on_progress(RetentionProgress(job.name, done, due))
    while True:
        batch = await _run_batch(connection, job, batch_size)
        done += batch
        on_progress(RetentionProgress(job.name, done, max(due, done)))
        if batch < batch_size:
            break
    left = 0 if done >= due else await _count(connection, job)
    return RetentionStep(job.name, job.action, due, done, left)


async def _count(connection: AsyncConnection, job: _Job) -> int:
    due = int((await connection.execute(job.due)).scalar_one())
    await connection.commit()
    return due


async def _run_batch(connection: AsyncConnection, job: _Job, batch_size: int) -> int:
    """Do one batch in a transaction of its own, and return how many rows it took: 0 where they stay in use."""
    for attempt in range(ATTEMPTS):
        try:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'"))
            done = await job.do(connection, batch=batch_size)
            await connection.commit()
        except DBAPIError as error:
            await connection.rollback()
            if not isinstance(driver_error(error), DeadlockDetectedError | LockNotAvailableError):
                raise
            await asyncio.sleep(random.uniform(0, 0.1) * 2**attempt)  # noqa: S311 -- so that two do not meet again
        else:
            return done
    return 0


async def _check_role(connection: AsyncConnection) -> None:
    """Refuse a role that would see one tenant's rows at most, and report nothing to do."""
    confined = text("SELECT CASE WHEN row_security_active('memstore.tenants') THEN current_user END")
    role = await connection.scalar(confined)
    await connection.commit()
    if role is not None:
        raise PermissionDeniedError(
            f"role {role!r} is confined to one tenant at a time, retention is for all of them. "
            "Connect as the owner of the tables"
        )
