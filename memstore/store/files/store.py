"""The store of memories in files."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ...errors import StoreClosedError
from ..validation import checked_scope
from .scope import FileScope
from .tenant import TenantFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self, TypeVar
    from uuid import UUID

    from .corpus import Corpus
    from .draft import Draft

    T = TypeVar("T")

_READERS, _WRITERS = 8, 32


class FileStore:
    """A `MemoryStore` in a folder: a file corpus for each tenant, at `<root>/<tenant>`.

    For a laptop, a test or an export: all memories of a tenant are held in memory from its first use until the store is
    closed, each search compares all of them, and a write writes all of them (those that come together, together).
    Results and scores are those of PostgreSQL 18. Several processes may use one folder at the same time; it has to be
    on a file system with `flock` and symbolic links.

    A tenant is there as soon as it has a memory. There are no tables of users, agents and sessions: any id is taken.
    A corpus that was made elsewhere can be put, or linked, at `<root>/<tenant>`.

    Args:
        root: the folder, created when something is first written.
        lock_timeout: how long to wait for another process that writes for the same tenant, seconds.
    """

    def __init__(self, root: Path | str, *, lock_timeout: float = 30.0) -> None:
        self._root = Path(root).expanduser().absolute()
        self._lock_timeout = lock_timeout
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="memstore-read")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="memstore-write")
        self._tenants: dict[UUID, TenantFiles] = {}
        self._opening = Lock()
        self._is_closed = False

    def scope(self, tenant_id: UUID | str, user_id: UUID | str | None = None) -> FileScope:
        """See `MemoryStore.scope`."""
        return FileScope(self, checked_scope(tenant_id, user_id))

    async def read(self, tenant_id: UUID, look: Callable[[Corpus], T]) -> T:
        """Return what `look`, run in a thread, makes of what a tenant has now."""
        with self._opening:  # no pool is shut down between
            tenant = self._tenant(tenant_id)
            done = asyncio.get_running_loop().run_in_executor(self._readers, lambda: look(tenant.corpus()))
        return await done

    async def change(self, tenant_id: UUID, change: Callable[[Draft], T]) -> T:
        """Make a change and return its result when it is on disk."""
        with self._opening:
            done = self._tenant(tenant_id).change(change)
        return await asyncio.wrap_future(done)

    async def close(self) -> None:
        """Finish what is being read and written, and forget all of it; later calls raise `StoreClosedError`."""
        with self._opening:
            self._is_closed = True
            self._tenants.clear()
        for pool in (self._readers, self._writers):
            await asyncio.to_thread(pool.shutdown)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _tenant(self, tenant_id: UUID) -> TenantFiles:
        if self._is_closed:
            raise StoreClosedError(f"the store in {self._root} is closed. Open it again")
        if tenant_id not in self._tenants:
            self._tenants[tenant_id] = TenantFiles(self._root, tenant_id, self._lock_timeout, self._writers)
        return self._tenants[tenant_id]
