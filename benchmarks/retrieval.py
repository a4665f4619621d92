"""Whether a question finds the memory that answers it: by vector, by words, and by both.

The six conversations of shared/data/locomo in one tenant, and their 1,154 questions, each with the memories that answer
it (`evidence`), through `memstore.store` on an embedded PostgreSQL.

* hit@k: the share of the questions that have a right memory among the first k;
* MRR: the mean of 1 / the place of the first right memory, 0 where none is among the first 10.

The default weights are not tuned to this file: it prints the same for other weights and for each conversation, and what
weights one would choose by the other five conversations, and what they give on the one that was held out.

Run: make bench, or python -m benchmarks.retrieval [--conversations locomo-26,...] [--questions 100]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from benchmarks.server import bare, describe, table
from memstore import embedded
from memstore.migrations import upgrade
from memstore.store import NewMemory, PostgresStore, Weights
from tests.support import LOCOMO

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

    from memstore.store import MemoryScope

TENANT = UUID(int=1)
LIMIT = 10
WANTED_HIT, WANTED_MRR = 0.81, 0.58
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the weights, the vector's
OTHERS = (0.5, 0.8)
DEFAULT = Weights()
KEPT = (
    "id",
    "conversation_id",
    "sequence_index",
    "human_content",
    "assistant_content",
    "source",
    "intent_type",
    "complexity",
    "technical_depth",
    "emotional_valence",
    "urgency",
    "conversation_mode",
    "action_required",
    "has_code",
    "has_error",
    "tags",
    "cluster_id",
    "cluster_label",
)


async def load(url: URL, nodes: list[dict[str, Any]], vectors: NDArray[Any]) -> None:
    """Migrate an empty database, and add all memories to one tenant."""
    await upgrade(url, embedding_dim=vectors.shape[1])
    async with bare(url) as connection:
        await connection.execute("INSERT INTO memstore.tenants (id, name) VALUES ($1, 'locomo')", TENANT)
    memories = [
        NewMemory(**{name: node[name] for name in KEPT}, embedding=vector)
        for node, vector in zip(nodes, vectors, strict=True)
    ]
    async with PostgresStore(url) as store:
        await store.scope(TENANT).add_many(memories)


async def places(
    scope: MemoryScope, questions: list[dict[str, Any]], vectors: NDArray[Any] | None, weights: Weights | None
) -> NDArray[Any]:
    """Return at which place, from 1, the first right memory of each question is; infinity where there is none."""

    async def place(number: int) -> float:
        found = await scope.search(
            vector=None if vectors is None else vectors[number],
            text=None if weights is None else questions[number]["question"],
            limit=LIMIT,
            weights=weights or DEFAULT,
        )
        right = set(questions[number]["evidence"])
        return next((at for at, hit in enumerate(found, 1) if hit.memory.id in right), float("inf"))

    turns = asyncio.Semaphore(4)

    async def in_turn(number: int) -> float:
        async with turns:
            return await place(number)

    return np.array(await asyncio.gather(*map(in_turn, range(len(questions)))))


def hit(found: NDArray[Any], first: int) -> float:
    """Return hit@first."""
    return float(np.mean(found <= first))


def mrr(found: NDArray[Any]) -> float:
    """Return MRR over the first 10."""
    return float(np.mean(1 / found))


def measures(found: NDArray[Any]) -> list[str]:
    """Return hit@5, hit@10 and MRR as cells of a table."""
    return [f"{hit(found, 5):.3f}", f"{hit(found, LIMIT):.3f}", f"{mrr(found):.3f}"]


def held_out(found: dict[float, NDArray[Any]], of: NDArray[Any]) -> list[list[str]]:
    """Return for each conversation what one would choose by the others, and what that and the default give on it."""
    lines = []
    for conversation in np.unique(of):
        here = of == conversation
        chosen = max(found, key=lambda share: mrr(found[share][~here]))
        best = max(found, key=lambda share: mrr(found[share][here]))
        default = found[DEFAULT.vector][here]
        lines.append(
            [str(conversation), f"{chosen:g}", *measures(found[chosen][here]), *measures(default), f"{best:g}"]
        )
    return lines


async def measure(url: URL, options: argparse.Namespace) -> None:
    nodes = json.loads((LOCOMO / "corpus" / "nodes.json").read_text(encoding="utf-8"))
    questions = json.loads((LOCOMO / "queries.json").read_text(encoding="utf-8"))
    vectors, asked = np.load(LOCOMO / "vectors" / "nodes.npy"), np.load(LOCOMO / "queries.npy")
    if options.questions:
        chosen = np.random.default_rng(1).choice(len(questions), options.questions, replace=False)
        questions, asked = [questions[each] for each in chosen], asked[chosen]
    if options.conversations:
        kept = options.conversations.split(",")
        chosen = np.array([number for number, each in enumerate(questions) if each["conversation"] in kept])
        questions, asked = [questions[each] for each in chosen], asked[chosen]
    of = np.array([each["conversation"] for each in questions])
    await load(url, nodes, vectors)
    started = perf_counter()
    async with PostgresStore(url) as store:
        scope = store.scope(TENANT)
        by_vector = await places(scope, questions, asked, None)
        by_text = await places(scope, questions, None, DEFAULT)
        by_share = {share: await places(scope, questions, asked, Weights(share, 1 - share)) for share in SHARES}
    hybrid = by_share[DEFAULT.vector]
    ways = {"vector": by_vector, "text": by_text, f"hybrid {DEFAULT.vector:g}/{DEFAULT.text:g} (default)": hybrid}
    ways |= {f"hybrid {share:g}/{1 - share:.1g}": by_share[share] for share in OTHERS}

    print(f"\n{len(nodes):,} memories, {len(questions):,} questions, {perf_counter() - started:.0f} s.")
    print(await describe(url), "\n")
    print(table(["way", "hit@5", "hit@10", "MRR"], [[name, *measures(found)] for name, found in ways.items()]))
    print(
        f"\nhybrid hit@10 {hit(hybrid, LIMIT):.3f} (wanted: {WANTED_HIT}), "
        f"MRR {mrr(hybrid):.3f} (wanted: {WANTED_MRR})\n"
    )
    shown = {name: found for name, found in ways.items() if name in ("vector", "text") or "default" in name}
    heads = [
        "conversation",
        "questions",
        *(f"{name.split()[0]} {each}" for name in shown for each in ("hit@10", "MRR")),
    ]
    lines = []
    for conversation in np.unique(of):
        here = of == conversation
        cells = [cell for found in shown.values() for cell in measures(found[here])[1:]]
        lines.append([str(conversation), str(int(here.sum())), *cells])
    print(table(heads, lines), "\n")
    print(
        table(
            ["weight of the vector", "hit@5", "hit@10", "MRR"],
            [[f"{share:g}", *measures(found)] for share, found in by_share.items()],
        ),
        "\n",
    )
    if len(np.unique(of)) > 1:
        heads = ["held out", "weight by the others", "hit@5", "hit@10", "MRR"]
        heads += ["default hit@5", "default hit@10", "default MRR", "best weight on it"]
        print(table(heads, held_out(by_share, of)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--conversations", default="", help="only questions about these, such as locomo-26; all searched"
    )
    parser.add_argument("--questions", type=int, default=0, help="only so many, drawn at random")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="memstore-bench-"))
    folder.chmod(0o755)  # the server runs as a system user
    try:
        asyncio.run(measure(embedded.start(folder / "data"), options))
    finally:
        embedded.stop(folder / "data")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
