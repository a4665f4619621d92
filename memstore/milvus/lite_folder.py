"""The folder of a Milvus Lite that was killed, as the next one finds it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import MilvusSettings


def clear_remains(settings: MilvusSettings, name: str) -> None:
    """Remove what is left of a collection that was being made or dropped when Milvus Lite was killed.

    Without its schema Milvus Lite does not know it, and does not make another one in its place.
    """
    if not settings.is_lite:
        return
    folder = settings.folder / "collections" / name
    if folder.is_dir() and not (folder / "schema.json").exists():
        shutil.rmtree(folder)
