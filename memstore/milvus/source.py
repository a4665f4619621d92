"""The memories in PostgreSQL, as the mirror reads them: of all tenants, by the owner of the tables."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pgvector.asyncpg import register_vector

from ..database import explained, open_connection
from ..errors import PermissionDeniedError, SchemaMismatchError
from .fields import columns_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .fields import CollectionSpec

SHARDS = 16
LOCK_WAIT_S = 60
Key = tuple["UUID", str]
"""A memory: its tenant's id and its own."""

_ABOUT = """
    SELECT (SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname = 'vector')
               AS vector_schema,
           to_regclass('memstore.mirror_outbox') IS NOT NULL AS has_outbox,
           to_regclass('memstore.memory_nodes') IS NOT NULL
               AND row_security_active('memstore.memory_nodes') AS is_confined,
           current_user AS role
"""
_WIDTH = "SELECT value::integer FROM memstore.settings WHERE key = 'embedding_dim'"
_TENANTS = """
    SELECT id FROM memstore.tenants WHERE memstore.mirror_shard(id) = $1 AND id > $2 ORDER BY id LIMIT 1000
"""
_IDS = """
    SELECT m.id AS node_id FROM memstore.memory_nodes AS m
    WHERE m.tenant_id = $1 AND m.id > $2 AND m.embedding IS NOT NULL ORDER BY m.id LIMIT $3
"""
_VERSIONS = """
    SELECT m.id AS node_id, m.version FROM memstore.memory_nodes AS m
    WHERE m.tenant_id = $1 AND m.id > $2 AND m.embedding IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM memstore.mirror_rejections AS r WHERE r.tenant_id = m.tenant_id AND r.node_id = m.id)
    ORDER BY m.id LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A connection to PostgreSQL, in autocommit, and the width of its embeddings."""

    connection: asyncpg.Connection
    dimensions: int

    async def rows(self, spec: CollectionSpec, keys: Sequence[Key]) -> list[asyncpg.Record]:
        """Return those of these memories that have a vector, as they are now, with the columns of a collection."""
        tenants, ids = [key[0] for key in keys], [key[1] for key in keys]
        found: list[asyncpg.Record] = await self.connection.fetch(_rows(spec), tenants, ids)
        return found

    async def tenants(self, shard: int) -> AsyncIterator[UUID]:
        """Yield the tenants of a shard."""
        after = "00000000-0000-0000-0000-000000000000"
        while page := await self.connection.fetch(_TENANTS, shard, after):
            for record in page:
                yield record["id"]
            after = page[-1]["id"]

    async def ids(self, tenant_id: UUID, after: str, limit: int) -> list[str]:
        """Return a page of the ids of a tenant's memories that have a vector, in order, after one of them."""
        return [each["node_id"] for each in await self.connection.fetch(_IDS, tenant_id, after, limit)]

    async def versions(self, tenant_id: UUID, after: str, limit: int) -> list[tuple[str, int]]:
        """Return a page of the memories of a tenant that are to be mirrored: their ids after one, and versions."""
        return [(each["node_id"], each["version"]) for each in await self.connection.fetch(
            _VERSIONS, tenant_id, after, limit)]  # fmt: skip

    async def count(self) -> int:
        """Count the memories that have a vector."""
        found: int = await self.connection.fetchval(
            "SELECT count(*) FROM memstore.memory_nodes WHERE embedding IS NOT NULL"
        )
        return found


@lru_cache(maxsize=20)
def _rows(spec: CollectionSpec) -> str:
    return f"""
        SELECT m.tenant_id, {columns_of(spec.fields)}
        FROM unnest($1::uuid[], $2::text[]) AS wanted (tenant_id, id)
        JOIN memstore.memory_nodes AS m ON m.tenant_id = wanted.tenant_id AND m.id = wanted.id
        WHERE m.embedding IS NOT NULL
    """


@asynccontextmanager
async def open_source(engine: AsyncEngine) -> AsyncIterator[Source]:
    """Open a connection that sees the memories of all tenants.

    Raises:
        SchemaMismatchError: the database has no outbox yet.
        PermissionDeniedError: the role is confined to one tenant at a time.
        ServerUnreachableError, AuthenticationError, DatabaseMissingError: there is no connection, or it was lost.
    """
    async with open_connection(engine) as connection:
        with explained(engine.url):
            await connection.rollback()
            raw = await connection.get_raw_connection()
            driver: asyncpg.Connection = raw.driver_connection
            # Its vectors are in binary, which SQLAlchemy's own do not expect: it leaves the pool, and is closed here.
            raw.detach()
            try:
                yield await _source(driver)
            except BaseException:
                driver.terminate()
                raise
            await driver.close()


async def _source(driver: asyncpg.Connection) -> Source:
    about = await driver.fetchrow(_ABOUT)
    if about["vector_schema"] is None or not about["has_outbox"]:
        raise SchemaMismatchError(
            "the database has no outbox for a mirror. Run: memstore db upgrade", found=None, needed="0029_mirror_outbox"
        )
    if about["is_confined"]:
        raise PermissionDeniedError(
            f"the mirror holds the memories of all tenants, and {about['role']} is confined to one at a time. Do it as "
            "the owner of the tables"
        )
    await register_vector(driver, schema=about["vector_schema"])
    await driver.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
    return Source(driver, await driver.fetchval(_WIDTH))
