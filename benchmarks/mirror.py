"""Mirrors to measure: a Milvus of either engine beside a database, and its collection anew or with another index."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.server import tenant_id
from memstore import create_engine
from memstore.milvus import BuildState, Milvus, MilvusSettings, Moved, enable_mirror, load_chain, move, open_milvus
from memstore.milvus import collections as milvus_collections
from memstore.milvus.engine import Engine, VectorIndex
from memstore.milvus.entities import Entity, entity_of
from memstore.milvus.fields import CollectionSpec
from memstore.milvus.naming import ALIAS
from memstore.milvus.source import open_source
from memstore.milvus.state import INDEX, properties_of
from tests.milvus.servers import MilvusServer
from tests.milvus.wheel import real_milvus_missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from numpy.typing import NDArray
    from pymilvus import MilvusClient
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

LABELS = {"lite": "Milvus Lite", "real": "Milvus"}
BARE = "memories_bare"
BATCH = 1_000
TIMEOUT_S = 600.0  # a machine that is busy is no error


def missing(engine: str) -> str | None:
    """Say why an engine cannot run here, or None where it can."""
    return real_milvus_missing() if engine == "real" else None


@contextmanager
def running(engine: str, folder: Path) -> Iterator[str]:
    """Run a Milvus that is gone when the block ends; yield its address."""
    if engine == "lite":
        yield str(folder / "milvus.db")
        return
    server = MilvusServer()
    try:
        server.start()
        yield server.uri
    finally:
        server.close()


@dataclass(frozen=True)
class Mirror:
    """A database, a Milvus, and the collection between them."""

    url: URL
    engine: AsyncEngine
    settings: MilvusSettings
    milvus: Milvus
    spec: CollectionSpec
    physical: str

    @property
    def index(self) -> VectorIndex:
        """The vector index that a collection gets here."""
        return self.milvus.capabilities.vector_index(self.settings.vector_index)

    async def empty(self) -> None:
        """Make the collection anew, empty and in use."""
        await self.drop()
        await self._make(self.physical)
        await milvus_collections.point(self.milvus, ALIAS, self.physical)

    async def empty_bare(self) -> None:
        """Make one like it that only the bare client writes to, anew."""
        await self.drop_bare()
        await self._make(BARE)

    async def drop_bare(self) -> None:
        """Drop it: a server goes on with its segments and indexes."""
        if await milvus_collections.is_there(self.milvus, BARE):
            await milvus_collections.drop(self.milvus, BARE)

    async def drop(self) -> None:
        """Drop the collection; PostgreSQL's ledger still has it."""
        if await milvus_collections.target_of(self.milvus, ALIAS) is not None:
            await milvus_collections.remove_alias(self.milvus, ALIAS)
        if await milvus_collections.is_there(self.milvus, self.physical):
            await milvus_collections.drop(self.milvus, self.physical)

    async def change_index(self, index: VectorIndex) -> None:
        """Give the collection another vector index, and have it used: what is flushed has it, once it is loaded."""

        def take_away(client: MilvusClient) -> None:
            client.flush(self.physical, timeout=TIMEOUT_S)
            client.release_collection(self.physical, timeout=TIMEOUT_S)
            for name in client.list_indexes(self.physical, timeout=TIMEOUT_S):
                if client.describe_index(self.physical, name, timeout=TIMEOUT_S)["field_name"] == self.spec.vector:
                    client.drop_index(self.physical, name, timeout=TIMEOUT_S)

        await self.milvus.write(take_away)
        await milvus_collections.set_properties(self.milvus, self.physical, {INDEX: index.type})
        await milvus_collections.ensure_indexes(self.milvus, self.physical, self.spec, index)
        if self.milvus.capabilities.engine is Engine.SERVER:
            await self.milvus.write(lambda c: c.release_collection(self.physical, timeout=TIMEOUT_S))
            await milvus_collections.load(self.milvus, self.physical)

    async def entities(self, tenants: NDArray[Any]) -> list[Entity]:
        """Return what the collection is to hold, as a bare client writes it."""
        found: list[Entity] = []
        async with open_source(self.engine) as source:
            for start in range(0, len(tenants), BATCH):
                places = range(start, min(start + BATCH, len(tenants)))
                rows = await source.rows(self.spec, [(tenant_id(int(tenants[i])), f"m{i}") for i in places])
                found += [entity_of(self.spec, row) for row in rows]
        return found

    async def _make(self, name: str) -> None:
        revision = load_chain().head
        properties = properties_of(revision, self.spec, self.index, BuildState.COMPLETE)
        await milvus_collections.create(self.milvus, name, self.spec, properties)
        await milvus_collections.ensure_indexes(self.milvus, name, self.spec, self.index)


@asynccontextmanager
async def mirror_of(url: URL, uri: str, dim: int) -> AsyncIterator[tuple[Mirror, Moved]]:
    """Turn the mirror of a database on, and lead readers to its collection in a Milvus."""
    settings, chain = MilvusSettings(uri=uri, timeout_s=TIMEOUT_S), load_chain()
    engine = create_engine(url)
    try:
        async with await open_milvus(settings) as milvus:
            await enable_mirror(engine)
            built = await move(engine, milvus, rebuild=True)
            physical = chain.get(chain.head).physical
            yield Mirror(url, engine, settings, milvus, chain.spec(chain.head, dim), physical), built
    finally:
        await engine.dispose()
