"""A PostgreSQL with memories of two tenants beside a Milvus, for tests of the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.milvus import Milvus, MilvusSettings, MirrorStatus, SyncOptions, enable_mirror, move, status, sync
from memstore.milvus.collections import target_of
from memstore.milvus.comparing import Verification, verify_content
from memstore.milvus.copying import Target
from memstore.milvus.naming import ALIAS
from memstore.milvus.revisions import Chain, load_chain
from memstore.milvus.source import open_source
from memstore.store import NewMemory, NewTenant, PostgresStore, create_tenant
from memstore.store.postgres.scope import PostgresScope

DIM = 16


def vectors(count: int, seed: int = 1, dim: int = DIM) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def memory(number: int, embedding: Any, **given: Any) -> NewMemory:
    return NewMemory(id=f"mem_{number:06}", content=f"memory {number}", embedding=embedding, **given)


@dataclass
class World:
    """What a test of the mirror works with; the store is the owner's."""

    url: URL
    engine: AsyncEngine
    settings: MilvusSettings
    milvus: Milvus
    store: PostgresStore
    tenants: list[UUID] = field(default_factory=list)
    chain: Chain = field(default_factory=load_chain)

    async def settle(self) -> None:
        """Make two tenants."""
        for name in ("Acme", "Initech"):
            self.tenants.append(await create_tenant(self.engine, NewTenant(name)))

    def scope(self, tenant: int = 0) -> PostgresScope:
        return self.store.scope(self.tenants[tenant])

    async def add(self, embeddings: NDArray[np.float32], *, first: int = 0, tenant: int = 0, **given: Any) -> list[str]:
        made = [memory(first + n, each, **given) for n, each in enumerate(embeddings)]
        return list((await self.scope(tenant).add_many(made)).ids)

    async def follow(self) -> None:
        """Turn the mirror on, at the newest version."""
        await enable_mirror(self.engine)
        await move(self.engine, self.milvus, chain=self.chain)

    async def sync(self) -> None:
        await sync(self.engine, self.milvus, SyncOptions(batch_size=200), chain=self.chain)

    async def status(self) -> MirrorStatus:
        return await status(self.engine, self.milvus, chain=self.chain)

    async def live(self) -> str | None:
        return await target_of(self.milvus, ALIAS)

    async def compare(self, revision: str, *, repair: bool = False) -> Verification:
        """Compare the collection of a version, whether readers are led to it or not."""
        async with open_source(self.engine) as source:
            spec = self.chain.spec(revision, DIM)
            target = Target(self.chain.get(revision).physical, spec)
            return await verify_content(source, self.milvus, target, repair=repair)

    async def execute(self, *statements: str) -> None:
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    async def rows(self, statement: str) -> Sequence[Any]:
        async with self.engine.connect() as connection:
            return (await connection.execute(text(statement))).all()
