"""A copy of memstore's revisions, all of them sealed, to tamper with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from memstore.migrations import scripts
from memstore.migrations.scripts import revisions
from memstore.migrations.sums.seal import seal
from memstore.migrations.sums.sealed import SUMS
from tests.support import ROOT

REVISIONS = revisions()  # asked once: to ask runs the files
FOURTH, FIFTH, LAST = REVISIONS[3], REVISIONS[4], REVISIONS[-1]
NEW = "0099_new"

REVISION = '''"""Makes a table."""
from alembic import op

revision = "{revision}"
down_revision = {follows!r}


def upgrade():
    op.execute("CREATE TABLE memstore.inserted (id integer)")


def downgrade():
    op.execute("DROP TABLE memstore.inserted")
'''


@dataclass(frozen=True)
class Released:
    """The folder that the copy is in, with alembic.ini; in this process it is where memstore's revisions are."""

    folder: Path
    location: Path

    @property
    def sums(self) -> Path:
        return self.location / SUMS

    def file(self, revision: str) -> Path:
        return self.location / "versions" / f"{revision}.py"

    def checksum(self, revision: str) -> str:
        return hashlib.sha256(self.file(revision).read_bytes()).hexdigest()

    def add(self, revision: str, follows: str | tuple[str, ...] | None) -> Released:
        self.file(revision).write_text(REVISION.format(revision=revision, follows=follows))
        return self

    def called(self, revision: str, follows: str) -> None:
        """Add a file of another name that says it is a revision."""
        self.file("another").write_text(REVISION.format(revision=revision, follows=follows))

    def insert(self, revision: str, before: str) -> Released:
        """Put one more link into the chain."""
        follows = REVISIONS[REVISIONS.index(before) - 1]
        self.add(revision, follows)
        self.edit(before, f'down_revision = "{follows}"', f'down_revision = "{revision}"')
        return self

    def copy(self, revision: str) -> Released:
        """Let a revision have two files."""
        shutil.copy(self.file(revision), self.file(f"{revision}_copy"))
        return self

    def unseal(self, revision: str) -> Released:
        """Take away the line of a revision."""
        self.edit_sums(self.line(revision), "")
        return self

    def change(self, revision: str, comment: str = "# changed") -> Released:
        with self.file(revision).open("a") as file:
            file.write(f"{comment}\n")
        return self

    def edit(self, revision: str, old: str, new: str) -> None:
        _replace(self.file(revision), old, new)

    def edit_sums(self, old: str, new: str) -> None:
        _replace(self.sums, old, new)

    def line(self, revision: str) -> str:
        """Return the line of versions.sum that seals a revision, with its end."""
        (line,) = (each for each in self.sums.read_text().splitlines(True) if each.startswith(f"{revision} "))
        return line


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@contextmanager
def released_in(folder: Path, *, installed: bool = False) -> Iterator[Released]:
    """Copy memstore's revisions to a folder, seal them, and let this process take them for memstore's own.

    They lie as in a checkout, or `installed`: inside the package.
    """
    shutil.copy(ROOT / "alembic.ini", folder)
    location = folder / "memstore" / "alembic" if installed else folder / "alembic"
    shutil.copytree(ROOT / "alembic", location, ignore=shutil.ignore_patterns("__pycache__"))
    seal(location)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "_PACKAGE", folder / "memstore")
        forget()
        yield Released(folder, location)
    forget()


def forget() -> None:
    """Let this process look at the revisions again, as one would that was started now."""
    scripts.revisions.cache_clear()
    scripts.head.cache_clear()
