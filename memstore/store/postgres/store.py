"""The store of memories in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import SchemaMismatchError, SettingsError
from ..background import Background
from ..telemetry import Telemetry
from ..validation import checked_scope
from .connections import Connections
from .metrics import Metrics
from .reading import EMBEDDING_DIM
from .refusals import wrong_width
from .scope import PostgresScope
from .statistics import Statistics

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

    from ..validation import Question, Scope


class PostgresStore:
    """A `MemoryStore` in a PostgreSQL that was migrated by `memstore db upgrade`.

    It holds a pool of connections; use one for the whole application, in one event loop, and close it at the end. As
    the owner of the tables it works as for a role that row level security confines (`memstore db grant`), which is what
    applications should connect as.

    Args:
        url: any database URL that memstore accepts.
        pool_size: how many connections at most, and with them how many operations at once.
        pool_timeout: how long an operation waits for one of them, in seconds.
        metrics_sample: which share of the searches is recorded in `memstore.search_metrics`, 0 to 1.

    Raises:
        SettingsError: the URL cannot be used, or a number is out of range.
        ServerUnreachableError, MissingPackageError: from the embedded server that the URL names.
    """

    def __init__(
        self, url: URL | str, *, pool_size: int = 10, pool_timeout: float = 30.0, metrics_sample: float = 0.0
    ) -> None:
        if pool_size < 1:
            raise SettingsError(f"the pool size is {pool_size}. Needed: at least 1")
        if not 0 <= pool_timeout < float("inf"):
            raise SettingsError(f"the pool timeout is {pool_timeout}. Needed: seconds, such as 30")
        if not 0 <= metrics_sample <= 1:
            raise SettingsError(f"the share of searches to record is {metrics_sample}. Needed: 0 to 1")
        self.connections = Connections(url, pool_size=pool_size, pool_timeout=pool_timeout)
        self.telemetry = Telemetry("postgresql")
        self._background = Background()
        self.statistics = Statistics(self.connections, self._background)
        self._metrics = Metrics(self.connections, self._background, metrics_sample)
        self._embedding_dim: int | None = None

    def scope(self, tenant_id: UUID | str, user_id: UUID | str | None = None) -> PostgresScope:
        """See `MemoryStore.scope`."""
        return PostgresScope(self, checked_scope(tenant_id, user_id))

    async def close(self) -> None:
        """See `MemoryStore.close`."""
        await self._background.close()
        await self.connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def idle(self) -> None:
        """Wait until what is done after the answers is done: refreshed statistics, recorded searches."""
        await self._background.idle()

    async def check_width(self, scope: Scope, vector: NDArray[Any] | None) -> None:
        """Check that a vector is as wide as the embeddings of the database, which are asked where it seems not to be.

        Raises:
            VectorError: it is not.
        """
        if vector is None or len(vector) == self._embedding_dim:
            return
        width = await self.connections.run(scope.tenant_id, lambda connection: connection.fetchval(EMBEDDING_DIM))
        if width is None:
            raise SchemaMismatchError(
                "the database has no width of embeddings. Run: memstore db upgrade", found=None, needed="embedding_dim"
            )
        self._embedding_dim = width
        if len(vector) != width:
            raise wrong_width(len(vector), width)

    def wrote(self, scope: Scope, rows: int) -> None:
        """Take note of rows that were written."""
        self.statistics.wrote(scope.tenant_id, rows)

    def searched(self, scope: Scope, question: Question, results: int, seconds: float) -> None:
        """Take note of a search."""
        self._metrics.searched(scope, question, results, seconds)
        self.statistics.searched(scope.tenant_id, seconds)
