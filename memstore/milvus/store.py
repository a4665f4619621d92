"""The read side of a `MemoryStore`, with searches by vector in Milvus and everything else in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store import PostgresStore
from ..store.validation import checked_scope
from .reader import Reader
from .scope import MilvusScope
from .settings import MilvusSettings

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from sqlalchemy.engine import URL

    from .revisions import Chain


class MilvusStore:
    """Memories as PostgreSQL has them, the nearest of them found in Milvus.

    It reads; what is written goes to a `PostgresStore`, and from there to Milvus by `memstore milvus sync`. Use one for
    the whole application, in one event loop, and close it at the end.

    Args:
        url: the database, as `PostgresStore` takes it; connect as the role of the application.
        milvus: where Milvus is; as the environment says when None.
        pool_size, pool_timeout: as of `PostgresStore`.
        chain: the versions of the collection; memstore's own when None.

    Raises:
        SettingsError: something cannot be used.
    """

    def __init__(
        self,
        url: URL | str,
        milvus: MilvusSettings | None = None,
        *,
        pool_size: int = 10,
        pool_timeout: float = 30.0,
        chain: Chain | None = None,
    ) -> None:
        self.postgres = PostgresStore(url, pool_size=pool_size, pool_timeout=pool_timeout)
        self.reader = Reader(MilvusSettings.from_env() if milvus is None else milvus, chain)

    def scope(self, tenant_id: UUID | str, user_id: UUID | str | None = None) -> MilvusScope:
        """See `MemoryStore.scope`."""
        scope = checked_scope(tenant_id, user_id)
        return MilvusScope(self.reader, self.postgres.scope(*scope), scope)

    async def close(self) -> None:
        """See `MemoryStore.close`."""
        await self.reader.close()
        await self.postgres.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
