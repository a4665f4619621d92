"""Ending what is over and purging what is old, in small batches, each in a transaction of its own."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from asyncpg import DeadlockDetectedError, LockNotAvailableError
from sqlalchemy import Integer, Interval, bindparam, text
from sqlalchemy.exc import DBAPIError

from ..database import driver_error, explained, open_connection
from ..errors import PermissionDeniedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

BATCH_SIZE = 1_000
MAX_BATCH_SIZE = 100_000
LOCK_TIMEOUT_MS = 2_000
ATTEMPTS = 5
MAX_AGE = timedelta(days=365 * 100)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What is kept how long; what is None is left alone.

    activities: delete activities older than this.
    metrics: delete metrics older than this.
    sessions: expire active sessions past `expires_at`, and archive closed ones not changed for this long.
    memories: delete memories past their expiry, for good. Their access log stays.
    """

    activities: timedelta | None = None
    metrics: timedelta | None = None
    sessions: timedelta | None = None
    memories: bool = False

    def __post_init__(self) -> None:
        for name in ("activities", "metrics", "sessions"):
            age = getattr(self, name)
            if age is not None:
                _check_age(name, age)
        if not self._steps():
            raise SettingsError("nothing is asked for. Needed: at least one of activities, metrics, sessions, memories")

    def _steps(self) -> list[tuple[str, timedelta | None]]:
        ages = (
            ("expired sessions", self.sessions),
            ("closed sessions", self.sessions),
            ("activities", self.activities),
            ("metrics", self.metrics),
        )
        steps: list[tuple[str, timedelta | None]] = [(name, age) for name, age in ages if age is not None]
        return [*steps, ("expired memories", None)] if self.memories else steps


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


@dataclass(frozen=True, slots=True)
class _Job:
    action: str
    due: str
    function: str


_JOBS = {
    "expired sessions": _Job(
        "expired",
        "SELECT count(*) FROM memstore.sessions WHERE status = 'active' AND expires_at <= now()",
        "cleanup_expired_sessions",
    ),
    "closed sessions": _Job(
        "archived",
        "SELECT count(*) FROM memstore.sessions WHERE status = 'closed' AND updated_at < now() - :older_than",
        "archive_closed_sessions",
    ),
    "activities": _Job(
        "deleted",
        "SELECT count(*) FROM memstore.activities WHERE created_at < now() - :older_than",
        "purge_activities",
    ),
    "metrics": _Job(
        "deleted", "SELECT count(*) FROM memstore.metrics WHERE timestamp < now() - :older_than", "purge_metrics"
    ),
    "expired memories": _Job(
        "deleted", "SELECT count(*) FROM memstore.memory_nodes WHERE expiry <= now()", "purge_expired_memories"
    ),
}


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
        on_progress: called after each batch.

    Raises:
        PermissionDeniedError: the role is confined to one tenant at a time.
        SettingsError: the batch size is out of range.
    """
    _check_batch(batch_size)
    started, steps = monotonic(), []
    async with open_connection(engine) as connection:
        with explained(engine.url):
            await _check_role(connection)
            for name, older_than in policy._steps():
                steps.append(await _run_step(connection, name, older_than, batch_size, dry_run, on_progress))
    return RetentionResult(tuple(steps), dry_run, monotonic() - started)


async def cleanup_expired_sessions(connection: AsyncConnection | AsyncSession, *, batch: int = 10_000) -> int:
    """Expire at most `batch` active sessions past `expires_at`, in the caller's transaction; return how many."""
    return await _call(connection, "cleanup_expired_sessions", batch)


async def archive_closed_sessions(
    connection: AsyncConnection | AsyncSession, older_than: timedelta, *, batch: int = 10_000
) -> int:
    """Archive at most `batch` closed sessions not changed for `older_than`; return how many."""
    return await _call(connection, "archive_closed_sessions", batch, older_than)


async def purge_activities(
    connection: AsyncConnection | AsyncSession, older_than: timedelta, *, batch: int = 10_000
) -> int:
    """Delete at most `batch` activities older than `older_than`; return how many."""
    return await _call(connection, "purge_activities", batch, older_than)


async def purge_metrics(
    connection: AsyncConnection | AsyncSession, older_than: timedelta, *, batch: int = 10_000
) -> int:
    """Delete at most `batch` metrics older than `older_than`; return how many."""
    return await _call(connection, "purge_metrics", batch, older_than)


async def purge_expired_memories(connection: AsyncConnection | AsyncSession, *, batch: int = 10_000) -> int:
    """Delete at most `batch` memories past their expiry, for good; return how many."""
    return await _call(connection, "purge_expired_memories", batch)


async def _run_step(
    connection: AsyncConnection,
    name: str,
    older_than: timedelta | None,
    batch_size: int,
    dry_run: bool,
    on_progress: Callable[[RetentionProgress], None],
) -> RetentionStep:
    job, done = _JOBS[name], 0
    age = older_than if ":older_than" in job.due else None
    due = await _count(connection, job, age)
    on_progress(RetentionProgress(name, 0, due))
    while not dry_run:
        batch = await _run_batch(connection, job, batch_size, age)
        done += batch
        on_progress(RetentionProgress(name, done, max(due, done)))
        if batch < batch_size:
            break
    left = 0 if dry_run or done >= due else await _count(connection, job, age)
    return RetentionStep(name, job.action, due, done, left)


async def _count(connection: AsyncConnection, job: _Job, age: timedelta | None) -> int:
    count = text(job.due) if age is None else text(job.due).bindparams(bindparam("older_than", age, Interval()))
    due = int((await connection.execute(count)).scalar_one())
    await connection.commit()
    return due


async def _run_batch(connection: AsyncConnection, job: _Job, batch_size: int, age: timedelta | None) -> int:
    """Do one batch in a transaction of its own, and return how many rows it took: 0 where they stay in use."""
    for attempt in range(ATTEMPTS):
        try:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'"))
            done = await _call(connection, job.function, batch_size, age)
            await connection.commit()
        except DBAPIError as error:
            await connection.rollback()
            if not isinstance(driver_error(error), DeadlockDetectedError | LockNotAvailableError):
                raise
            await asyncio.sleep(random.uniform(0, 0.1) * 2**attempt)  # noqa: S311 -- so that two do not meet again
        else:
            return done
    return 0


async def _call(
    connection: AsyncConnection | AsyncSession, function: str, batch: int, older_than: timedelta | None = None
) -> int:
    _check_batch(batch)
    if older_than is not None:
        _check_age("rows", older_than)
    arguments: dict[str, Any] = {"batch": batch} | ({} if older_than is None else {"older_than": older_than})
    named = ", ".join(f"{name} => :{name}" for name in arguments)
    types = [bindparam(name, type_=Integer() if name == "batch" else Interval()) for name in arguments]
    statement = text(f"SELECT memstore.{function}({named})").bindparams(*types)
    return int((await connection.execute(statement, arguments)).scalar_one())


def _check_age(what: str, age: timedelta) -> None:
    if not timedelta(0) <= age <= MAX_AGE:
        raise SettingsError(f"{what} are to be kept for {age}. Needed: zero to 100 years")


def _check_batch(batch: int) -> None:
    if not 1 <= batch <= MAX_BATCH_SIZE:
        raise SettingsError(f"the batch size is {batch}. Needed: 1 to {MAX_BATCH_SIZE:,}")


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
