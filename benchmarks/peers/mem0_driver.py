"""mem0: its pgvector store, used directly with ready vectors, without any language model, `hnsw=True`.

A tenant is the `user_id` of the payload, which mem0 filters by. mem0 makes the index with the table.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from driver import main
from mem0.vector_stores.pgvector import PGVector

BATCH = 1_000


class Mem0:
    """A collection of mem0."""

    async def open(self, dsn: str, dim: int) -> None:
        nothing = dict.fromkeys(("dbname", "user", "password", "host", "port"))  # the connection string says it all
        self.store = PGVector(
            **nothing,
            collection_name="mem0",
            embedding_model_dims=dim,
            diskann=False,
            hnsw=True,
            connection_string=dsn,
        )
        self.store.create_col()

    async def load(self, vectors: Any, tenants: list[str], texts: list[str]) -> None:
        for start in range(0, len(vectors), BATCH):
            part = range(start, min(start + BATCH, len(vectors)))
            self.store.insert(
                [vectors[place].tolist() for place in part],
                [{"user_id": tenants[place], "data": texts[place]} for place in part],
                [str(UUID(int=place)) for place in part],
            )

    async def build(self) -> None:
        """Do nothing: the index is there from the start."""

    async def search(self, vector: list[float], tenant: str, limit: int) -> list[int]:
        found = self.store.search("", vector, top_k=limit, filters={"user_id": tenant})
        return [UUID(each.id).int for each in found]


if __name__ == "__main__":
    main(Mem0())
