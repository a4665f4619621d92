"""Write the description beside each revision: `python -m memstore.migrations.catalog`, run by `make catalog`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from ... import embedded
from ...database import create_engine
from ..requirements import VECTOR_VERSION
from ..runner import upgrade
from ..scripts import revisions
from .objects import Catalog, DbObject
from .reader import read_catalog
from .shipped import description_path, difference_text

EMBEDDING_DIM = 1021  # a prime that nothing else in the schema is as long as


async def write_descriptions(database_url: str) -> list[str]:
    """Migrate an empty database up, step by step, write what each revision changes, and return which files changed."""
    changed = []
    before = Catalog({})
    engine = create_engine(database_url)
    for revision in revisions():
        await upgrade(engine, revision, embedding_dim=EMBEDDING_DIM)
        async with engine.connect() as connection:
            after = await connection.run_sync(read_catalog)
        # Who may do what is not for a revision to say.
        after = Catalog({each: has for each, has in after.objects.items() if each.kind != "grant"})
        after.objects[DbObject("extension", "", "vector")]["version"] = ".".join(map(str, VECTOR_VERSION))
        text = difference_text(before.objects, after.objects, EMBEDDING_DIM)
        path = description_path(revision)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(revision)
        before = after
    await engine.dispose()
    return changed


def main() -> None:
    """Write the descriptions with a PostgreSQL of their own, and say which have changed."""
    with tempfile.TemporaryDirectory(prefix="memstore-catalog-") as folder:
        Path(folder).chmod(0o755)  # the server runs as a system user
        try:
            changed = asyncio.run(write_descriptions(f"embedded:{folder}/data"))
        finally:
            embedded.stop(Path(folder) / "data")
    sys.stdout.write(f"{len(revisions())} revisions described, changed: {', '.join(changed) or 'none'}\n")


if __name__ == "__main__":
    main()
