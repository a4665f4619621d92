"""LangGraph: PostgresStore of langgraph-checkpoint-postgres with an index configuration, HNSW as it is by default.

A tenant is a namespace. The embedder is asked for texts that name a vector, and returns it. LangGraph makes the index
with the tables.
"""

from __future__ import annotations

from typing import Any

from driver import main
from langgraph.store.base import PutOp
from langgraph.store.postgres import PostgresStore

BATCH = 1_000


class LangGraph:
    """A store of LangGraph."""

    async def open(self, dsn: str, dim: int) -> None:
        self.vectors: Any = []
        self.asked: list[float] = []
        self.opened = PostgresStore.from_conn_string(
            dsn, pool_config={"min_size": 1, "max_size": 5}, index={"dims": dim, "embed": self.embed, "fields": ["row"]}
        )
        self.store = self.opened.__enter__()
        self.store.setup()

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [self.asked if text == "?" else self.vectors[int(text)].tolist() for text in texts]

    async def load(self, vectors: Any, tenants: list[str], texts: list[str]) -> None:
        self.vectors = vectors
        for start in range(0, len(vectors), BATCH):
            part = range(start, min(start + BATCH, len(vectors)))
            self.store.batch(
                [PutOp(("m", tenants[place]), str(place), {"row": str(place), "text": texts[place]}) for place in part]
            )

    async def build(self) -> None:
        """Do nothing: the index is there from the start."""

    async def search(self, vector: list[float], tenant: str, limit: int) -> list[int]:
        self.asked = vector
        return [int(each.key) for each in self.store.search(("m", tenant), query="?", limit=limit)]


if __name__ == "__main__":
    main(LangGraph())
