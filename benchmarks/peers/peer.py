"""A peer as the benchmarks see it: its environment, its driver, and its tables filled without waiting for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import numpy as np
from pgvector.asyncpg import register_vector

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".memstore" / "peers"


@dataclass(frozen=True)
class Table:
    """A table of a peer's, and what a row of ours is in it: its place, tenant, text and vector."""

    name: str
    columns: tuple[str, ...]
    record: Callable[[int, str, str, Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Peer:
    """A library to compare with.

    requirements: what pip installs into its environment.
    tables: where its rows are, for filling them by COPY; `vectors` is the one with the vector index.
    """

    name: str
    label: str
    requirements: tuple[str, ...]
    tables: tuple[Table, ...]
    vectors: str

    @property
    def python(self) -> Path:
        """Return the Python of its environment."""
        return CACHE / self.name / "bin" / "python"

    def install(self) -> None:
        """Make its environment, unless it is there."""
        marker = CACHE / self.name / "installed.txt"
        wanted = "\n".join(self.requirements)
        if marker.is_file() and marker.read_text() == wanted:
            return
        folder = CACHE / self.name
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)  # noqa: S603
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.requirements]
        subprocess.run(pip, check=True)  # noqa: S603
        marker.write_text(wanted)

    async def fill(self, dsn: str, vectors: NDArray[Any], tenants: list[str], texts: list[str]) -> bool:
        """Fill the tables that the peer has made: its vector index is dropped, and built again as it was.

        Returns whether there was one; if not, the peer's driver is to build it.

        What it would take the peer to load them is measured elsewhere; what is in them is the same.
        """
        connection = await asyncpg.connect(dsn)
        try:
            await register_vector(connection)
            index = await connection.fetchrow(
                "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index "
                "JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam "
                "WHERE indrelid = $1::regclass AND amname IN ('hnsw', 'ivfflat')",
                self.vectors,
            )
            if index is not None:
                await connection.execute(f"DROP INDEX {index['name']}")
            await connection.execute(f"TRUNCATE {', '.join(table.name for table in self.tables)}")
            for table in self.tables:
                for start in range(0, len(vectors), 5_000):
                    part = range(start, min(start + 5_000, len(vectors)))
                    records = [table.record(place, tenants[place], texts[place], vectors[place]) for place in part]
                    await connection.copy_records_to_table(table.name, columns=table.columns, records=records)
            if index is not None:
                await connection.execute("SET maintenance_work_mem = '2GB'")
                await connection.execute(index["definition"])
            for table in self.tables:
                await connection.execute(f"VACUUM ANALYZE {table.name}")
            return index is not None
        finally:
            await connection.close()


class Driver:
    """The driver of a peer, running in the peer's environment."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self.folder = folder

    def __enter__(self) -> Self:
        self.peer.install()
        self.process = subprocess.Popen(  # noqa: S603
            [self.peer.python, str(HERE / f"{self.peer.name}_driver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have a command carried out, and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what} | arguments) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the driver of {self.peer.label} ended with {self.process.wait(30)}; see what it printed"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def search(self, asked: NDArray[Any], tenants: list[str], limit: int) -> tuple[list[list[int]], list[float]]:
        """Return what was found for each of `asked`, by its place, and how many seconds each took."""
        path = self.folder / f"{self.peer.name}_asked.npy"
        np.save(path, asked)
        answer = self.do("search", vectors=str(path), tenants=tenants, limit=limit)
        return answer["found"], answer["seconds"]

    def load(self, vectors: NDArray[Any], tenants: list[str], texts: list[str]) -> tuple[float, float]:
        """Load by the peer's own way; return the seconds of loading, and of building the index after."""
        path = self.folder / f"{self.peer.name}_rows.npy"
        rest = self.folder / f"{self.peer.name}_rows.json"
        np.save(path, vectors)
        rest.write_text(json.dumps({"tenants": tenants, "texts": texts}))
        answer = self.do("load", vectors=str(path), rest=str(rest), rows=len(vectors))
        return answer["load_s"], answer["index_s"]


def _uuid(place: int) -> UUID:
    return UUID(int=place)


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "mem0",
            "mem0 2.2.1",
            ("mem0ai==2.2.1", "psycopg[binary,pool]>=3.2", "numpy"),
            (
                Table(
                    "mem0",
                    ("id", "vector", "payload"),
                    lambda place, tenant, text, vector: (
                        _uuid(place),
                        vector,
                        json.dumps({"user_id": tenant, "data": text}),
                    ),
                ),
            ),
            "mem0",
        ),
        Peer(
            "langchain",
            "langchain-postgres 0.0.19",
            ("langchain-postgres==0.0.19", "numpy"),
            (
                Table(
                    "langchain",
                    ("langchain_id", "content", "embedding", "tenant"),
                    lambda place, tenant, text, vector: (_uuid(place), text, vector, tenant),
                ),
            ),
            "langchain",
        ),
        Peer(
            "langgraph",
            "LangGraph 3.2.0",
            ("langgraph-checkpoint-postgres==3.2.0", "numpy", "psycopg[binary,pool]>=3.2"),
            (
                Table(
                    "store",
                    ("prefix", "key", "value"),
                    lambda place, tenant, text, _vector: (
                        f"m.{tenant}",
                        str(place),
                        json.dumps({"row": str(place), "text": text}),
                    ),
                ),
                Table(
                    "store_vectors",
                    ("prefix", "key", "field_name", "embedding"),
                    lambda place, tenant, _text, vector: (f"m.{tenant}", str(place), "row", vector),
                ),
            ),
            "store_vectors",
        ),
    )
}
