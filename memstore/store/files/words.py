"""The words of memories, worked out once for each text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text import lexemes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..memories import Memory


class Words:
    """The lexemes of each memory's texts. Those of texts that did not change are worked out once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[str | None, ...], frozenset[str]]] = {}

    def of(self, memory: Memory) -> frozenset[str]:
        """Return the lexemes of a memory."""
        texts = (memory.human_content, memory.assistant_content, memory.content)
        known = self._known.get(memory.id)
        if known is None or known[0] != texts:
            known = (texts, lexemes(" ".join(text or "" for text in texts)))
            self._known[memory.id] = known
        return known[1]

    def forget_all_but(self, memories: Mapping[str, Memory]) -> None:
        """Forget memories that are gone, once they are many."""
        if len(self._known) > 2 * len(memories) + 1_000:
            # Of a copy: searches in other threads go on learning words.
            self._known = {id_: known for id_, known in self._known.copy().items() if id_ in memories}
