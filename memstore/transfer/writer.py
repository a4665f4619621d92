"""Writing nodes of one owner: COPY into a temporary table, then INSERT what is not there yet."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import json
from pgvector.asyncpg import register_vector
from sqlalchemy import text

from ..database import explained, open_connection
from ..errors import MemoryExistsError, MemstoreError
from ..store import check_owner
from .decoding import COLUMNS
from .placing import Placing, check_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from .corpus import Checked

    Row = tuple[Any, ...]

_STAGED = (*COLUMNS, "embedding")
_LISTED = ", ".join(_STAGED)
_DATED = ("created_at", "updated_at")
_VALUES = ", ".join(f"coalesce({column}, now())" if column in _DATED else column for column in _STAGED)
_ID, _METADATA, _USER = (COLUMNS.index(name) for name in ("id", "metadata", "user_id"))
_ATTEMPTS = 5

_CREATE_STAGING = f"""
    CREATE TEMPORARY TABLE memstore_staging ON COMMIT DELETE ROWS AS
        SELECT {_LISTED} FROM memstore.memory_nodes WITH NO DATA;
    CREATE TEMPORARY TABLE memstore_ids (n integer, id text, own_id text, user_id uuid) ON COMMIT DELETE ROWS
"""

_INSERT = f"""
    INSERT INTO memstore.memory_nodes (tenant_id, {_LISTED})
    SELECT $1, {_VALUES} FROM memstore_staging
    ON CONFLICT (tenant_id, id) DO NOTHING
"""

# A node that was given an id of its own keeps it, also when whoever had the original id has since deleted theirs.
_FATES = """
    SELECT i.n, m.user_id IS NOT DISTINCT FROM i.user_id AS mine
    FROM memstore_ids AS i JOIN memstore.memory_nodes AS m ON m.tenant_id = $1 AND m.id = i.id
    UNION ALL
    SELECT i.n, true
    FROM memstore_ids AS i JOIN memstore.memory_nodes AS m ON m.tenant_id = $1 AND m.id = i.own_id
    WHERE m.user_id IS NOT DISTINCT FROM i.user_id
"""


class Fate(IntEnum):
    """What is known of a node before it is written: nobody has its id, somebody else has it, or it is there already."""

    ABSENT = 0
    TAKEN = 1
    MINE = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch; `renamed` counts those of the inserted that got an id of their own."""

    inserted: int
    already_there: int
    renamed: int

    @classmethod
    def foreseen(cls, fates: Sequence[int]) -> Batch:
        """Return what becomes of a batch if nobody else writes meanwhile."""
        already_there = sum(fate == Fate.MINE for fate in fates)
        renamed = sum(fate == Fate.TAKEN for fate in fates)
        return cls(len(fates) - already_there, already_there, renamed)


class _OvertakenError(Exception):
    """Another import wrote some of the rows first; rolls the batch back."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A connection that writes to the memory of one user, or of a tenant."""

    _connection: asyncpg.Connection
    _tenant_id: UUID
    _user_id: UUID | None
    embedding_dim: int

    async def placing(self, checked: Checked) -> Placing:
        """Return where the nodes of a corpus go.

        Raises:
            CorpusError: some are of users that the tenant does not have.
        """
        async with self._connection.transaction():
            await self._set_tenant()
            if self._user_id is None:
                users = {user for user in checked.users if user is not None}
                check_users(checked, await self._known("users", users))
            agents = await self._known("agents", checked.agents)
            sessions = await self._known("sessions", checked.sessions)
        return Placing(self._user_id, frozenset(agents), frozenset(sessions))

    async def fates(self, ids: Sequence[str], owners: Sequence[UUID | None]) -> bytearray:
        """Return the `Fate` of each node by its id and whose it becomes, in their order. Changes nothing."""
        fates = bytearray(len(ids))
        async with self._connection.transaction():
            await self._set_tenant()
            # One pass over the tenant's rows, whatever the planner makes of a temporary table without statistics: a
            # nested loop over the wrong index would make one pass for each id.
            await self._connection.execute("SET LOCAL enable_nestloop = off")
            owned = enumerate(zip(ids, owners, strict=True))
            numbered = ((n, id_, self._own_id(id_, owner), owner) for n, (id_, owner) in owned)
            await self._connection.copy_records_to_table("memstore_ids", records=numbered)
            for n, mine in await self._connection.fetch(_FATES, self._tenant_id):
                fates[n] = max(fates[n], Fate.MINE if mine else Fate.TAKEN)
        return fates

    async def write(
        self,
        ids: Sequence[str],
        owners: Sequence[UUID | None],
        fates: Sequence[int],
        read: Callable[[Sequence[int]], list[Row]],
        placing: Placing,
    ) -> Batch:
        """Insert the nodes of a batch that are not there yet, in one transaction.

        Args:
            ids: the ids of the batch.
            owners: whose each becomes.
            fates: what was known of them.
            read: returns the rows at given places of the batch.
            placing: where they go.

        Raises:
            MemoryExistsError: the tenant has another memory of the natural key of one of them.
            MemstoreError: others keep writing and deleting the same nodes; the batch was rolled back.
        """
        for _ in range(_ATTEMPTS):
            places = [place for place, fate in enumerate(fates) if fate != Fate.MINE]
            rows = [
                self._renamed(row) if fates[n] == Fate.TAKEN else row
                for n, row in zip(places, map(placing.placed, read(places)), strict=True)
            ]
            if not rows or await self._insert(rows):
                return Batch.foreseen(fates)
            fates = await self.fates(ids, owners)  # another import got in between since this was asked
        raise MemstoreError(
            f"a batch of {len(ids)} nodes was rolled back {_ATTEMPTS} times: others write or delete the same nodes. "
            "Batches before it are written; run the import again"
        )

    def terminate(self) -> None:
        """Cut the connection: what is under way fails at once, and the server rolls it back."""
        self._connection.terminate()

    async def _insert(self, rows: Sequence[Row]) -> bool:
        """Insert all of `rows`, or none and return False when some of them are there by now."""
        try:
            async with self._connection.transaction():
                await self._set_tenant()
                await self._connection.copy_records_to_table("memstore_staging", records=rows, columns=_STAGED)
                tag = await self._connection.execute(_INSERT, self._tenant_id)
                if tag != f"INSERT 0 {len(rows)}":
                    raise _OvertakenError  # noqa: TRY301 -- leaving the block is what rolls back
        except (_OvertakenError, asyncpg.DeadlockDetectedError):
            return False
        except asyncpg.UniqueViolationError as error:
            raise MemoryExistsError(
                f"the tenant has a live memory of the natural key of one in the corpus: {error.detail}. Delete one of "
                "them. Batches before this one are written; run the import again"
            ) from error
        return True

    async def _known(self, table: str, ids: set[UUID]) -> set[UUID]:
        """Return which of these the tenant has."""
        query = f"SELECT id FROM memstore.{table} WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
        return {record["id"] for record in await self._connection.fetch(query, self._tenant_id, list(ids))}

    def _own_id(self, id_: str, owner: UUID | None) -> str:
        """Return the id that a node gets where somebody else in the tenant has its own."""
        named = f"{owner or self._tenant_id}:{id_}"
        return f"mem_{hashlib.sha256(named.encode()).hexdigest()[:16]}"

    def _renamed(self, row: Row) -> Row:
        values = list(row)
        values[_METADATA] = json.encode(json.decode(row[_METADATA]) | {"memstore_source_id": row[_ID]}).decode()
        values[_ID] = self._own_id(row[_ID], row[_USER])
        return tuple(values)

    async def _set_tenant(self) -> None:
        await self._connection.execute(f"SET LOCAL memstore.tenant_id = '{self._tenant_id}'")


@asynccontextmanager
async def open_writer(engine: AsyncEngine, tenant_id: UUID, user_id: UUID | None) -> AsyncIterator[Writer]:
    """Open a writer for an owner that exists.

    Raises:
        UnknownTenantError, UnknownUserError: it does not.
    """
    async with open_connection(engine) as connection:
        with explained(engine.url):
            await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{tenant_id}'"))
            await check_owner(connection, tenant_id, user_id)
            dim = await connection.scalar(text("SELECT value::int FROM memstore.settings WHERE key = 'embedding_dim'"))
            schema = await connection.scalar(
                text(
                    "SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace "
                    "WHERE extname = 'vector'"
                )
            )
            await connection.commit()
            # Binary vectors need a codec that SQLAlchemy's own vectors, sent as text, do not expect on this connection:
            # it leaves the pool, and is closed in the end.
            raw = await connection.get_raw_connection()
            driver: asyncpg.Connection = raw.driver_connection
            raw.detach()
            await register_vector(driver, schema=schema)
            await driver.execute(_CREATE_STAGING)
            try:
                yield Writer(driver, tenant_id, user_id, dim)
            except BaseException:
                driver.terminate()  # a polite close would wait for a COPY that was cut off
                raise
