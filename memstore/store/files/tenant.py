"""The files of one tenant in this process: read again when somebody has written, and written by one at a time."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from ...errors import PermissionDeniedError, StoreFilesError
from .corpus import empty_corpus
from .draft import Draft
from .generations import Generations
from .lock import locked
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from pathlib import Path
    from uuid import UUID

    from .corpus import Corpus
    from .generations import Version

_TURN = 0.002  # seconds in which another process may take the lock


@dataclass(frozen=True, slots=True)
class _Pending:
    """A change that somebody waits for."""

    change: Callable[[Draft], Any]
    done: Future[Any] = field(default_factory=Future)

    def fail(self, error: Exception) -> None:
        """Raise an error to who waits, unless that is settled, or nobody does any more."""
        # One that has not begun may be cancelled by another thread at any moment, but not once it runs.
        if self.done.running() or (not self.done.done() and self.done.set_running_or_notify_cancel()):
            self.done.set_exception(error)


class TenantFiles:
    """What a tenant has, and changes to it.

    Changes that are asked for while another is being written are written together: one generation for all of them.
    """

    def __init__(self, root: Path, tenant_id: UUID, lock_timeout: float, writers: Executor) -> None:
        self._generations = Generations(root, tenant_id)
        self._tenant_id = tenant_id
        self._lock_timeout = lock_timeout
        self._writers = writers
        self._words = Words()
        self._loaded: tuple[Version | None, Corpus] = (None, empty_corpus(self._words))
        self._loading = Lock()
        self._pending: list[_Pending] = []
        self._is_writing = False
        self._turn = Lock()

    def corpus(self) -> Corpus:
        """Return what the tenant has now.

        Raises:
            CorpusError: its files are not a corpus.
            PermissionDeniedError, StoreFilesError: they cannot be read.
        """
        with _explained("read"), self._loading:
            return self._load()[1]

    def change(self, change: Callable[[Draft], Any]) -> Future[Any]:
        """Make a change; what is returned is done when it is on disk, or has failed."""
        pending = _Pending(change)
        with self._turn:
            self._pending.append(pending)
            if not self._is_writing:
                self._writers.submit(self._write_pending)
                self._is_writing = True
        return pending.done

    def _write_pending(self) -> None:
        while True:
            with self._turn:
                batch, self._pending = self._pending, []
                if not batch:
                    self._is_writing = False
                    return
            try:
                with _explained("written"):
                    self._generations.prepare()
                    with locked(self._generations.lock, self._lock_timeout):
                        self._write(batch)
            except Exception as error:  # noqa: BLE001 -- whatever it was, it is raised to those who wait
                for pending in batch:
                    pending.fail(error)
            if self._pending:
                time.sleep(_TURN)

    def _write(self, batch: list[_Pending]) -> None:
        with self._loading:
            version, before = self._load()
        draft = Draft(before, self._tenant_id)
        made = []
        for pending in batch:
            if not pending.done.set_running_or_notify_cancel():
                continue
            try:
                made.append((pending, pending.change(draft)))
            except Exception as error:  # noqa: BLE001 -- it is raised to who asked for this change, the others are made
                pending.done.set_exception(error)
        if draft.is_changed:
            corpus = draft.corpus()
            same_vectors = version is not None and corpus.vectors is before.vectors
            written = self._generations.write(corpus, version, same_vectors=same_vectors)
            with self._loading:
                self._loaded = (written, corpus)
        for pending, result in made:
            pending.done.set_result(result)

    def _load(self) -> tuple[Version | None, Corpus]:
        while True:
            version = self._generations.newest()
            if version == self._loaded[0]:
                return self._loaded
            known = self._words
            corpus = empty_corpus(known) if version is None else self._generations.read(version, known)
            if corpus is not None:
                self._loaded = (version, corpus)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        message = f"{error.filename} may not be {what}: {error.strerror}. Change its rights"
        raise PermissionDeniedError(message) from error
    except OSError as error:
        file = error.filename or "a file of the store"
        raise StoreFilesError(
            f"{file} cannot be {what}: {error.strerror or error}. What was written before is still there"
        ) from error
