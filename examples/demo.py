"""The demo: a database of its own, a user, a few weeks of memories, their mirror in Milvus, and three questions.

Run it with `make demo`. It keeps its PostgreSQL in .memstore/demo and its Milvus Lite in .memstore/demo.db, and does
nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from memstore import create_engine
from memstore.cli.common import out, progress_bar
from memstore.cli.importing import describe
from memstore.cli.search import print_hits
from memstore.migrations import upgrade
from memstore.milvus import MilvusSettings, MilvusStore, enable_mirror, move, open_milvus, status, sync
from memstore.store import NewUser, PostgresStore, SearchResult, create_user
from memstore.transfer import import_corpus

HERE = Path(__file__).resolve().parent
DATABASE_URL = f"embedded:{HERE.parent / '.memstore' / 'demo'}"
MILVUS = MilvusSettings(uri=str(HERE.parent / ".memstore" / "demo.db"))
INES = NewUser("ines@example.com", name="Ines")


async def main() -> None:
    engine = create_engine(DATABASE_URL)
    out.rule("[bold]1. migrate")
    migrated = await upgrade(engine, embedding_dim=384)
    out.print(", ".join(step.revision for step in migrated.steps) or "nothing to do: the database is at head")

    out.rule("[bold]2. a user")
    user_id, tenant_id = await create_user(engine, INES, exist_ok=True)
    out.print(f"{INES.email} is {user_id}{'' if user_id == INES.id else ' (known from before)'}")

    out.rule("[bold]3. her memories")
    with progress_bar() as on_progress:
        result = await import_corpus(engine, HERE, tenant_id=tenant_id, user_id=user_id, on_progress=on_progress)
    out.print(describe(result))

    out.rule("[bold]4. their mirror in Milvus")
    async with await open_milvus(MILVUS) as milvus:
        logging.getLogger("pymilvus").setLevel(logging.ERROR)
        if not (await status(engine, milvus)).enabled:
            out.print(f"{(await enable_mirror(engine)).enqueued:,} memories to follow")
        moved = await move(engine, milvus)
        out.print(", ".join(step.action for step in moved.steps) or f"nothing to do: readers are led to {moved.after}")
        out.print(f"{(await sync(engine, milvus)).entries:,} changes followed")

    questions = json.loads((HERE / "queries.json").read_text(encoding="utf-8"))
    vectors = np.load(HERE / "queries.npy")
    async with PostgresStore(DATABASE_URL) as store, MilvusStore(DATABASE_URL, MILVUS) as mirror:
        memories, mirrored = store.scope(tenant_id, user_id), mirror.scope(tenant_id, user_id)
        for question, vector in zip(questions, vectors, strict=True):
            out.rule(f"[bold yellow]{question['question']}")
            print_hits(await memories.search(vector=vector, text=question["question"], limit=2))
            print_side_by_side(
                {
                    "PostgreSQL, by the vector alone": await memories.search(vector=vector, limit=3),
                    "Milvus": await mirrored.search(vector=vector, limit=3),
                }
            )
    await engine.dispose()


def print_side_by_side(found: dict[str, SearchResult]) -> None:
    table = Table(*found, box=None, padding=(0, 4, 0, 0))
    for hits in zip(*found.values(), strict=True):
        table.add_row(*(f"[bold green]{hit.score:6.3f}[/]  [cyan]{escape(hit.memory.id)}[/]" for hit in hits))
    out.print(table)


if __name__ == "__main__":
    asyncio.run(main())
