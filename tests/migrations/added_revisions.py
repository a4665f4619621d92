"""Revisions on top of those that memstore ships, in a copy of alembic/ that is taken for memstore's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memstore.migrations import scripts
from tests.support import ROOT

HEAD = scripts.revisions()[-1]

REVISION = '''"""A revision."""
from alembic import op

revision = "{name}"
down_revision = "{before}"
{level}


def upgrade():
    {up}


def downgrade():
    {down}
'''


def write_revision(
    folder: Path, name: str, before: str = HEAD, level: str = "", up: str = "pass", down: str = "pass", **adds: Any
) -> None:
    """Write a revision into `folder`/alembic, and beside it what it adds, as `make catalog` would."""
    source = REVISION.format(name=name, before=before, level=level, up=up, down=down)
    (folder / "alembic" / "versions" / f"{name}.py").write_text(source)
    (folder / "alembic" / "catalog" / f"{name}.json").write_text(json.dumps(adds))


def copy_of_alembic(folder: Path) -> Path:
    shutil.copy(ROOT / "alembic.ini", folder)
    shutil.copytree(ROOT / "alembic", folder / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@contextmanager
def taken_for_ours(folder: Path) -> Iterator[None]:
    """Let memstore find its revisions in `folder` during the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "_PACKAGE", folder / "memstore")
        for known in (scripts.head, scripts.revisions):
            known.cache_clear()
        try:
            yield
        finally:
            for known in (scripts.head, scripts.revisions):
                known.cache_clear()
