"""Where the files of a tenant are, and how two of them change as one.

    <root>/<tenant>                            a link to the newest generation
    <root>/.generations/<tenant>/<n>/          a file corpus, complete before the link names it
    <root>/.generations/<tenant>/lock

A writer that is killed leaves at most a generation that nothing names; the next one removes it. A corpus that was put
at `<root>/<tenant>` is read as it is, and becomes the first generation when it is first written to; should that be
interrupted between two renames, it is found in `.generations/<tenant>/0`.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .corpus import NODES, VECTORS, Corpus, read_corpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from .words import Words

HIDDEN = ".generations"
_TAKEN_OVER = "0"
_LOCK = "lock"
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
_log = logging.getLogger("memstore.store")


class Version(NamedTuple):
    """Which files are the newest: where they are, and what tells them from others that were there before."""

    folder: Path
    nodes: tuple[int, int, int]
    vectors: tuple[int, int, int]


class Generations:
    """The files of one tenant. What writes must hold the lock."""

    def __init__(self, root: Path, tenant_id: UUID) -> None:
        self._root = root
        self._tenant_id = tenant_id
        self._link = root / str(tenant_id)
        self._folder = root / HIDDEN / str(tenant_id)
        self.lock = self._folder / _LOCK

    def prepare(self) -> None:
        """Make the folder that the lock is in."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def newest(self) -> Version | None:
        """Return the newest generation; None where the tenant has none."""
        folder = self._current()
        if folder is None:
            return None
        try:
            return Version(folder, _identity(folder / NODES), _identity(folder / VECTORS))
        except FileNotFoundError:
            if self._current() != folder:
                return self.newest()
            raise

    def read(self, version: Version, words: Words) -> Corpus | None:
        """Return what is in a generation; None when it is no longer the newest, and gone."""
        with ExitStack() as stack:
            try:
                nodes = stack.enter_context((version.folder / NODES).open("rb"))
                vectors = stack.enter_context((version.folder / VECTORS).open("rb"))
            except FileNotFoundError:
                if self.newest() != version:
                    return None
                raise
            # A generation may have become the newest between the two.
            if (_identity(nodes.fileno()), _identity(vectors.fileno())) != version[1:]:
                return None
            return read_corpus(version.folder, nodes, vectors, self._tenant_id, words)

    def write(self, corpus: Corpus, before: Version | None, *, same_vectors: bool) -> Version:
        """Write a generation and make it the newest; one that cannot be written changes nothing."""
        number = 1 + (int(before.folder.name) if before and before.folder.parent == self._folder else 0)
        self._clean(before.folder if before else None)
        folder = self._folder / str(number)
        try:
            self._fill(folder, corpus, before, same_vectors=same_vectors)
            self._switch(folder)
        except OSError:
            if self._current() != folder:
                shutil.rmtree(folder, ignore_errors=True)  # what is left is removed by the next writer
            raise
        self._clean(folder)
        return Version(folder, _identity(folder / NODES), _identity(folder / VECTORS))

    def _current(self) -> Path | None:
        try:
            target = self._root / self._link.readlink()
        except FileNotFoundError:
            target = self._folder / _TAKEN_OVER
            return target if target.is_dir() else None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return self._link  # a folder that somebody put there
        return target if target.parent == self._folder else target.resolve()

    def _fill(self, folder: Path, corpus: Corpus, before: Version | None, *, same_vectors: bool) -> None:
        for each in (NODES, VECTORS):
            (folder / each).parent.mkdir(parents=True)
        with (folder / NODES).open("wb") as nodes:
            nodes.writelines(corpus.text())
            nodes.flush()
            os.fsync(nodes.fileno())
        # Somebody else's files, behind a link of theirs, may change in place.
        take = (
            _link if before is not None and before.folder in (self._link, self._folder / before.folder.name) else _copy
        )
        if before is not None and same_vectors:
            vectors = before.folder / VECTORS
            (_copy if vectors.is_symlink() else take)(vectors, folder / VECTORS)
        else:
            with (folder / VECTORS).open("wb") as file:
                np.save(file, corpus.vectors, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        if before is not None:
            _carry_over(before.folder, folder, take)
        for changed in ((folder / NODES).parent, (folder / VECTORS).parent, folder, self._folder):
            _sync_folder(changed)

    def _switch(self, folder: Path) -> None:
        link = self._folder / "next"
        link.symlink_to(folder.relative_to(self._root))  # as it is read from where it goes
        if self._link.is_dir() and not self._link.is_symlink():
            self._link.rename(self._folder / _TAKEN_OVER)
        link.replace(self._link)
        _sync_folder(self._root)

    def _clean(self, keep: Path | None) -> None:
        """Remove what killed writers and older generations left. Whoever has opened files of these keeps them."""
        for each in self._folder.iterdir():
            if each in (keep, self.lock):
                continue
            try:
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each)
                else:
                    each.unlink()
            except OSError as error:
                _log.warning("%s could not be removed, the next writer will try again: %s", each, error)


def _identity(file: Path | int) -> tuple[int, int, int]:
    found = os.stat(file)  # noqa: PTH116 -- of a path, or of what was opened
    return found.st_ino, found.st_mtime_ns, found.st_size


def _carry_over(source: Path, target: Path, take: Callable[[Path, Path], None]) -> None:
    """Take over the other files of a corpus, such as its episodes. A link leads on to where it led."""
    for path in source.rglob("*"):
        new = target / path.relative_to(source)
        if path.is_symlink():
            if not new.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                new.symlink_to(_destination(path, new, source, target))
        elif path.is_dir():
            new.mkdir(parents=True, exist_ok=True)
        elif not new.exists():
            take(path, new)


def _destination(link: Path, new: Path, source: Path, target: Path) -> Path | str:
    """Return where a link to be made at `new` leads: what is in the corpus itself moves along with it."""
    led, corpus = link.resolve(), source.resolve()
    return os.path.relpath(target / led.relative_to(corpus), new.parent) if led.is_relative_to(corpus) else led


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    shutil.copy2(source, target)
    with target.open("rb") as copied:
        os.fsync(copied.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
