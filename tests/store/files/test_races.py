from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from memstore.errors import StoreBusyError
from memstore.store import Memory
from memstore.store.files import FileStore
from memstore.store.files.lock import locked
from memstore.store.files.tenant import _Pending
from memstore.store.files.words import Words
from tests.store.files.corpora import TENANT, memory


class _SearchedMeanwhile(Mapping[str, Any]):
    """Memories of which another thread looks up the words of a new one, whenever this one asks for any."""

    def __init__(self, words: Words, new: Iterator[Memory]) -> None:
        self._words, self._new = words, new

    def __getitem__(self, id_: str) -> Any:
        self._words.of(next(self._new))
        raise KeyError(id_)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def of_id(memory_id: str) -> Memory:
    fields: dict[str, Any] = dict.fromkeys(Memory.__dataclass_fields__)
    return Memory(**fields | {"tenant_id": UUID(int=1), "id": memory_id, "content": "tea"})


def test_words_are_learned_while_others_are_forgotten() -> None:
    words = Words()
    for n in range(1_001):
        words.of(of_id(f"old-{n}"))
    words.forget_all_but(_SearchedMeanwhile(words, (of_id(f"new-{n}") for n in range(2_000))))
    assert words.of(of_id("old-1")) == {"tea"}


@pytest.mark.parametrize("begun", [False, True])
def test_a_change_fails_once_whether_or_not_anybody_waits_for_it(begun: bool) -> None:
    error = StoreBusyError("locked")
    waiting, cancelled = _Pending(cast("Any", None)), _Pending(cast("Any", None))
    if begun:
        waiting.done.set_running_or_notify_cancel()
    cancelled.done.cancel()
    for each in (waiting, cancelled, waiting):
        each.fail(error)
    assert waiting.done.exception() is error
    assert cancelled.done.cancelled()
    assert not waiting.done.cancel()


async def test_a_writer_goes_on_after_calls_that_were_cancelled_while_it_waited_in_vain(tmp_path: Path) -> None:
    async with FileStore(tmp_path, lock_timeout=0.02) as store:
        scope = store.scope(TENANT)
        await scope.add(memory(1))
        with locked(tmp_path / ".generations" / str(TENANT) / "lock", 1):
            calls = [asyncio.ensure_future(scope.add(memory(n))) for n in range(2, 8)]
            await asyncio.sleep(0)
            calls[0].cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in results} == {asyncio.CancelledError, StoreBusyError}
        await scope.add(memory(9))
        assert await scope.count() == 2
