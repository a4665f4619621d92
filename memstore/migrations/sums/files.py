"""The revision files as they lie there, read and never run.

Alembic's ScriptDirectory runs them, and gives up on a missing one or on two heads before anything can be told.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RevisionFile:
    """A revision file.

    revision: as it says itself; where that cannot be read, its name.
    follows: the revisions that it comes after, none for the first; None where that cannot be read.
    checksum: sha256 in hex of its text with line endings as LF, as the ledger has it.
    """

    path: Path
    revision: str
    follows: tuple[str, ...] | None
    checksum: str


def revision_files(location: Path) -> list[RevisionFile]:
    """Return the files in `versions/` under `location` that Alembic would run, by name."""
    # Alembic passes over these two kinds as well: packages, and the lock files of an editor.
    paths = [path for path in (location / "versions").glob("*.py") if not path.name.startswith(("__init__", ".#"))]
    return [_read(path) for path in sorted(paths)]


def _read(path: Path) -> RevisionFile:
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    checksum = hashlib.sha256(content).hexdigest()
    revision, follows = _says(content)
    return RevisionFile(path, revision or path.stem, follows, checksum)


@lru_cache(maxsize=256)  # by content: nothing but reading it again tells whether a file has changed
def _says(content: bytes) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the id of a revision and what it follows, as its source says; None where that cannot be read."""
    try:
        said = _assigned(ast.parse(content))
    except (SyntaxError, ValueError):  # not Python, or names that are no literals
        return None, None
    revision, follows = said.get("revision"), said.get("down_revision")
    if not isinstance(revision, str):
        return None, None
    return revision, () if follows is None else (follows,) if isinstance(follows, str) else tuple(follows)


def _assigned(module: ast.Module) -> dict[str, Any]:
    said = {}
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision"):
                said[target.id] = ast.literal_eval(getattr(statement, "value", None) or ast.Constant(None))
    return said
