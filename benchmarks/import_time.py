"""What importing the models costs, beside what they stand on: SQLAlchemy's ORM and pgvector.

Each is imported in a process of its own, in turns; the smallest of the times is compared.
"""

from __future__ import annotations

import subprocess
import sys

ROUNDS = 15
BASE = "import sqlalchemy.orm, pgvector.sqlalchemy"
MODELS = "import memstore.models"


def import_seconds(statement: str) -> float:
    """Return the time that -X importtime counts for all that `statement` imports, in seconds."""
    command = [sys.executable, "-X", "importtime", "-c", statement]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()  # noqa: S603
    times = [line.removeprefix("import time:").split("|")[0].strip() for line in lines]
    return sum(int(time) for time in times if time.isdigit()) / 1e6


def main() -> None:
    rounds = [(import_seconds(BASE), import_seconds(MODELS)) for _ in range(ROUNDS)]
    base, models = (min(times) for times in zip(*rounds, strict=True))
    print(f"sqlalchemy.orm and pgvector.sqlalchemy  {base * 1000:6.0f} ms")
    print(f"memstore.models                         {models * 1000:6.0f} ms")
    print(f"ratio                                   {models / base:6.2f}    (at most 1.3)")


if __name__ == "__main__":
    main()
