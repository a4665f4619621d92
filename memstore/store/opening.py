"""Opening the store that the configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .postgres import PostgresStore
from .settings import Backend, StoreSettings

if TYPE_CHECKING:
    from .protocol import MemoryStore


def open(settings: StoreSettings | None = None) -> MemoryStore:  # noqa: A001 -- memstore.store.open
    """Open a store; close it at the end, or use it in an `async with`.

    Args:
        settings: which one; as `StoreSettings.from_env` reads it when None.

    Raises:
        SettingsError: the configuration cannot be read, or lacks what the store needs.
        ServerUnreachableError, MissingPackageError: from the embedded server that the database URL names.
    """
    wanted = StoreSettings.from_env() if settings is None else settings
    if wanted.backend is Backend.FILE:
        from .files import FileStore  # needs numpy from the first moment on

        return FileStore(wanted.required_path())
    return PostgresStore(
        wanted.required_database_url(),
        pool_size=wanted.pool_size,
        pool_timeout=wanted.pool_timeout_s,
        metrics_sample=wanted.search_metrics,
    )
