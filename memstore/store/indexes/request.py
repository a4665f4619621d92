"""What the index manager is asked for, and what it says that it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import EmbeddingModelError, SettingsError
from .targets import IndexedTable, IndexMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plan import IndexAction
    from .targets import IndexTarget


@dataclass(frozen=True, slots=True)
class IndexSelection:
    """Which indexes are meant: of these tables, of this model; of all where none is named.

    Raises:
        SettingsError: a model, and a table without models.
    """

    tables: tuple[IndexedTable, ...] = ()
    model: str | None = None

    def __post_init__(self) -> None:
        if self.model is not None and any(table is not IndexedTable.EMBEDDINGS for table in self.tables):
            raise SettingsError("only embeddings has models. Needed: --table embeddings, or no --table")

    def of(self, targets: Sequence[IndexTarget]) -> tuple[IndexTarget, ...]:
        """Return those of the targets that are meant.

        Raises:
            EmbeddingModelError: no such model is registered.
        """
        if self.model is None:
            return tuple(each for each in targets if not self.tables or each.table in self.tables)
        chosen = tuple(each for each in targets if each.model == self.model)
        if not chosen:
            known = ", ".join(each.model for each in targets if each.model is not None) or "none"
            raise EmbeddingModelError(f"there is no embedding model {self.model!r}. Registered: {known}")
        return chosen


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How indexes are to be.

    halfvec: half precision or full; None decides by what it costs.
    memory: what a build may use, such as `2GB`; None is as the settings or the server say.
    """

    method: IndexMethod = IndexMethod.AUTO
    halfvec: bool | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True)
class IndexResult:
    """What was done about one index, and why.

    index: its name; None where there is none.
    rows: how many vectors there are, as far as was looked.
    size: bytes; None where there is none.
    """

    table: IndexedTable
    model: str | None
    index: str | None
    action: IndexAction
    reason: str
    rows: int | None
    size: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class IndexRun:
    """What a run did; `tenants_refreshed` counts the tenants whose search statistics were counted anew."""

    results: tuple[IndexResult, ...]
    tenants_refreshed: int
    seconds: float

    def count(self, action: IndexAction) -> int:
        """Return how many indexes that was done to."""
        return sum(result.action is action for result in self.results)


ALL_INDEXES = IndexSelection()
AS_DECIDED = IndexOptions()
