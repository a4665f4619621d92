"""The demo: a database of its own, a user, a few weeks of memories, and three questions.

Run it with `make demo`. It keeps its PostgreSQL in .memstore/demo and does nothing twice.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np

from memstore import create_engine
from memstore.cli.common import out, progress_bar
from memstore.cli.importing import describe
from memstore.cli.search import print_hits
from memstore.migrations import upgrade
from memstore.store import NewUser, PostgresStore, create_user
from memstore.transfer import import_corpus

HERE = Path(__file__).resolve().parent
DATABASE_URL = f"embedded:{HERE.parent / '.memstore' / 'demo'}"
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

    questions = json.loads((HERE / "queries.json").read_text(encoding="utf-8"))
    vectors = np.load(HERE / "queries.npy")
    async with PostgresStore(DATABASE_URL) as store:
        memories = store.scope(tenant_id, user_id)
        for question, vector in zip(questions, vectors, strict=True):
            out.rule(f"[bold yellow]{question['question']}")
            print_hits(await memories.search(vector=vector, text=question["question"], limit=2))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
