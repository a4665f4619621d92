"""Ending what is over and purging what is old: one batch, in the caller's transaction.

Each calls the function of the database that has its name. A tenant's session does its own tenant's rows, the owner of
the tables everybody's; `run_retention` does batch after batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Interval, bindparam, text

from .checks import check_age, check_batch

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import BindParameter
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


async def cleanup_expired_sessions(connection: AsyncConnection | AsyncSession, *, batch: int = 10_000) -> int:
    """Expire at most `batch` active sessions past `expires_at`; return how many.

    Raises:
        SettingsError: `batch` is not 1 to 100,000.
    """
    return await _call(connection, "cleanup_expired_sessions", batch)


async def archive_closed_sessions(
    connection: AsyncConnection | AsyncSession, older_than: timedelta, *, batch: int = 10_000
) -> int:
    """Archive at most `batch` closed sessions not changed for `older_than`; return how many.

    Raises:
        SettingsError: `older_than` is not zero to 100 years, or `batch` is not 1 to 100,000.
    """
    return await _call(connection, "archive_closed_sessions", batch, older_than)


async def purge_activities(
    connection: AsyncConnection | AsyncSession, older_than: timedelta, *, batch: int = 10_000
) -> int:
    """Delete at most `batch` activities older than `older_than`; return how many.

    Raises:
        SettingsError: `older_than` is not zero to 100 years, or `batch` is not 1 to 100,000.
    """
    return await _call(connection, "purge_activities", batch, older_than)


async def purge_metrics(
    connection: AsyncConnection | AsyncSession, older_than: timedelta, *, batch: int = 10_000
) -> int:
    """Delete at most `batch` metrics older than `older_than`; return how many.

    Raises:
        SettingsError: `older_than` is not zero to 100 years, or `batch` is not 1 to 100,000.
    """
    return await _call(connection, "purge_metrics", batch, older_than)


async def purge_expired_memories(connection: AsyncConnection | AsyncSession, *, batch: int = 10_000) -> int:
    """Delete at most `batch` memories past their expiry, for good; return how many. Their access log stays.

    Raises:
        SettingsError: `batch` is not 1 to 100,000.
    """
    return await _call(connection, "purge_expired_memories", batch)


async def _call(
    connection: AsyncConnection | AsyncSession, function: str, batch: int, older_than: timedelta | None = None
) -> int:
    check_batch(batch)
    arguments: list[BindParameter[Any]] = [bindparam("batch", batch, Integer())]
    if older_than is not None:
        check_age("rows", older_than)
        arguments.append(bindparam("older_than", older_than, Interval()))
    named = ", ".join(f"{argument.key} => :{argument.key}" for argument in arguments)
    statement = text(f"SELECT memstore.{function}({named})").bindparams(*arguments)
    return int((await connection.execute(statement)).scalar_one())
