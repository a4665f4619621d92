"""Changes to the memories of a tenant that are to be written together.

Each of them checks all that it has to before it changes anything: one that raises leaves the draft as it was.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import MemoryExistsError, StaleMemoryError, UnknownMemoryError, VectorError
from ..lifecycle import expiry
from ..results import Added
from ..validation import no_text
from .containment import same_json
from .corpus import Corpus
from .filtering import is_live
from .nodes import with_expiry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from numpy.typing import NDArray

    from ..memories import Memory

    Values = dict[str, Any]

_MOST = 2**31 - 1
_NOT_A_CHANGE = ("tags", "metadata")  # as jsonb they are equal where 1 has become 1.0


class Draft:
    """What is to become of a corpus."""

    def __init__(self, corpus: Corpus, tenant_id: UUID) -> None:
        self._corpus = corpus
        self._tenant_id = tenant_id
        self._memories = dict(corpus.memories)
        self._keys: dict[tuple[Any, ...] | None, str] = dict(corpus.keys)
        self._embeddings: dict[str, NDArray[np.float32] | None] = {}
        self._width = corpus.width
        self.is_changed = False

    def add(self, values: Values) -> Memory:
        """Add a memory of checked values."""
        self._check_width([values])
        self._check_absent(values["id"], _key(values))
        return self._insert(values, datetime.now(UTC))

    def add_many(self, rows: Sequence[Values], *, skip_existing: bool) -> Added:
        """Add memories of checked values: all of them, or those that are not there."""
        self._check_width(rows)
        if not skip_existing:
            self._check_all_absent(rows)
        now = datetime.now(UTC)
        inserted: set[str] = set()
        for values in rows:
            if values["id"] not in self._memories and _key(values) not in self._keys:
                self._insert(values, now)
                inserted.add(values["id"])
        ids = tuple(each["id"] if each["id"] in inserted else self._id_of_passed_over(each) for each in rows)
        return Added(ids, len(inserted), len(rows) - len(inserted))

    def update(self, memory_id: str, user_id: UUID | None, values: Values, version: int) -> Memory:
        """Change a memory that is at `version`."""
        self._check_width([values])
        memory = self._find(memory_id, user_id)
        if memory is None:
            raise UnknownMemoryError(
                f"there is no memory {memory_id!r} in this scope. Name one of this tenant's or user's"
            )
        _check_version(memory, version)
        changed = replace(memory, **{name: value for name, value in values.items() if name != "embedding"})
        if changed.content is None and changed.human_content is None:
            raise no_text()
        key, before = _key_of(changed), _key_of(memory)
        if key is not None and key != before:
            self._check_absent(None, key)
        if self._is_changed(memory, values):
            changed = replace(changed, version=memory.version + 1, updated_at=datetime.now(UTC))
        self._put(replace(changed, expiry=expiry(changed.created_at, changed.decay_tier, changed.expires_at)), before)
        if "embedding" in values:
            self._embeddings[memory_id] = values["embedding"]
            self._learn_width(values["embedding"])
        return self._memories[memory_id]

    def delete(self, memory_id: str, user_id: UUID | None, version: int | None, *, hard: bool) -> bool:
        """Delete a memory, if it is at `version`; return whether there was something to delete."""
        memory = self._find(memory_id, user_id)
        if memory is None or (memory.deleted_at is not None and not hard):
            return False
        if version is not None:
            _check_version(memory, version)
        key = _key_of(memory)
        if hard:
            del self._memories[memory_id]
            self._keys.pop(key, None)
            self.is_changed = True
        else:
            now = datetime.now(UTC)
            self._put(replace(memory, deleted_at=now, updated_at=now, version=memory.version + 1), key)
        return True

    def record_access(self, ids: Sequence[str], user_id: UUID | None) -> int:
        """Count an access to each live memory of these."""
        now = datetime.now(UTC)
        met = [memory for memory in (self._find(each, user_id) for each in ids) if memory and is_live(memory, now)]
        for memory in met:
            accesses = min(memory.access_count, _MOST - 1) + 1
            self._put(replace(memory, access_count=accesses, last_accessed=now), _key_of(memory))
        return len(met)

    def corpus(self) -> Corpus:
        """Return what the corpus becomes. Where no embedding has changed it has the very same array of vectors."""
        before = self._corpus
        before.words.forget_all_but(self._memories)
        if list(self._memories) == list(before.memories) and not self._embeddings and self._width == before.width:
            return Corpus(self._memories, before.vectors, before.embedded, before.words, before.lines)
        vectors = np.zeros((len(self._memories), self._width or 0), np.float32)
        embedded = np.zeros(len(self._memories), np.bool_)
        kept = [(row, before.rows[id_]) for row, id_ in enumerate(self._memories) if self._is_kept(id_)]
        if kept and before.width:
            new, old = (np.array(rows) for rows in zip(*kept, strict=True))
            vectors[new] = before.vectors[old]
            embedded[new] = before.embedded[old]
        for row, id_ in enumerate(self._memories):
            embedding = self._embeddings.get(id_)
            if embedding is not None:
                vectors[row] = embedding
                embedded[row] = True
        return Corpus(self._memories, vectors, embedded, before.words, before.lines)

    def _id_of_passed_over(self, values: Values) -> str:
        """Return the id of the memory that has the key of this one, or its own."""
        found = self._keys.get(_key(values))
        return str(values["id"]) if found is None else found

    def _is_kept(self, id_: str) -> bool:
        return id_ in self._corpus.rows and id_ not in self._embeddings

    def _find(self, memory_id: str, user_id: UUID | None) -> Memory | None:
        memory = self._memories.get(memory_id)
        return memory if memory is not None and user_id in (None, memory.user_id) else None

    def _insert(self, values: Values, now: datetime) -> Memory:
        kept = {name: value for name, value in values.items() if name != "embedding"}
        kept["created_at"] = values["created_at"] or now
        memory = with_expiry(
            kept
            | {
                "tenant_id": self._tenant_id,
                "access_count": 0,
                "last_accessed": None,
                "deleted_at": None,
                "updated_at": now,
                "version": 1,
            }
        )
        self._embeddings[memory.id] = values["embedding"]  # None too: one of the same id may just have been deleted
        self._learn_width(values["embedding"])
        self._put(memory, None)
        return memory

    def _put(self, memory: Memory, before: tuple[Any, ...] | None) -> None:
        if before is not None:
            self._keys.pop(before, None)
        self._memories[memory.id] = memory
        key = _key_of(memory)
        if key is not None:
            self._keys[key] = memory.id
        self.is_changed = True

    def _is_changed(self, memory: Memory, values: Values) -> bool:
        for name, value in values.items():
            if name == "embedding":
                if not _same_vector(self._embedding_of(memory.id), value):
                    return True
            elif name in _NOT_A_CHANGE:
                if not same_json(getattr(memory, name), value):
                    return True
            elif getattr(memory, name) != value:
                return True
        return False

    def _embedding_of(self, id_: str) -> NDArray[np.float32] | None:
        return self._embeddings[id_] if id_ in self._embeddings else self._corpus.embedding_of(id_)

    def _check_absent(self, id_: str | None, key: tuple[Any, ...] | None) -> None:
        if id_ in self._memories:
            raise _exists(by_key=False)
        if key in self._keys:
            raise _exists(by_key=True)

    def _check_all_absent(self, rows: Sequence[Values]) -> None:
        ids: set[str] = set()
        keys: set[tuple[Any, ...]] = set()
        for values in sorted(rows, key=_id):  # the order in which PostgreSQL meets them, and says what it met first
            key = _key(values)
            if values["id"] in ids:
                raise _exists(by_key=False)
            self._check_absent(values["id"], key)
            ids.add(values["id"])
            if key is not None:
                if key in keys:
                    raise _exists(by_key=True)
                keys.add(key)

    def _check_width(self, rows: Sequence[Values]) -> None:
        width = self._width
        for values in rows:
            embedding = values.get("embedding")
            if embedding is not None:
                width = width or len(embedding)
                check_width(len(embedding), width)

    def _learn_width(self, embedding: NDArray[np.float32] | None) -> None:
        if embedding is not None:
            self._width = len(embedding)


def check_width(found: int, needed: int | None) -> None:
    """Raise `VectorError` for a vector of another width than the tenant's."""
    if needed is not None and found != needed:
        raise VectorError(
            f"the vector has {found} dimensions, the memories of this tenant have {needed}. Embed with the model that "
            "embedded the memories"
        )


def _id(values: Values) -> str:
    return str(values["id"])


def _key(values: Values) -> tuple[Any, ...] | None:
    return None if values["key"] is None else (values["agent_id"], values["user_id"], values["key"])


def _key_of(memory: Memory) -> tuple[Any, ...] | None:
    if memory.key is None or memory.deleted_at is not None:
        return None
    return (memory.agent_id, memory.user_id, memory.key)


def _same_vector(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def _check_version(memory: Memory, expected: int) -> None:
    if memory.version != expected:
        raise StaleMemoryError(
            f"the memory {memory.id!r} is at version {memory.version}, not {expected}: somebody changed it. Read it "
            "again, and decide anew",
            found=memory.version,
            expected=expected,
        )


def _exists(*, by_key: bool) -> MemoryExistsError:
    if by_key:
        return MemoryExistsError(
            "there is a live memory of that key for that agent and user. Change that one, or delete it"
        )
    return MemoryExistsError(
        "the tenant has a memory of that id already. Change that one, choose another id, or add with skip_existing"
    )
