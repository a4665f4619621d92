"""langchain-postgres: PGVectorStore, its asynchronous methods, and an HNSW index applied after loading.

A tenant is a metadata column, by which its documentation filters. Vectors are ready: the embedder is never asked.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from driver import main
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex

BATCH = 1_000


class LangChain:
    """A table of langchain-postgres."""

    async def open(self, dsn: str, dim: int) -> None:
        engine = PGEngine.from_connection_string(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
        await engine.ainit_vectorstore_table(
            "langchain", vector_size=dim, metadata_columns=[Column("tenant", "TEXT")], overwrite_existing=True
        )
        self.store = await PGVectorStore.create(
            engine, DeterministicFakeEmbedding(size=dim), "langchain", metadata_columns=["tenant"]
        )

    async def load(self, vectors: Any, tenants: list[str], texts: list[str]) -> None:
        for start in range(0, len(vectors), BATCH):
            part = range(start, min(start + BATCH, len(vectors)))
            await self.store.aadd_embeddings(
                [texts[place] for place in part],
                [vectors[place].tolist() for place in part],
                [{"tenant": tenants[place]} for place in part],
                [str(UUID(int=place)) for place in part],
            )

    async def build(self) -> None:
        await self.store.aapply_vector_index(HNSWIndex())

    async def search(self, vector: list[float], tenant: str, limit: int) -> list[int]:
        found = await self.store.asimilarity_search_by_vector(vector, k=limit, filter={"tenant": tenant})
        return [UUID(str(each.id)).int for each in found]


if __name__ == "__main__":
    main(LangChain())
