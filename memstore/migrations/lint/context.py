"""What rules know beyond the revision at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .changes import ColumnType

DISTANCES = ("cosine", "l2", "inner_product", "l1")


@dataclass(frozen=True, slots=True)
class LintContext:
    """What rules know beyond the revision at hand.

    Attributes:
        roots: folders whose modules are the project's own.
        own: names of modules that are the project's own wherever they are.
        levels: revisions are asked to declare a level.
        distance: how vectors are compared, one of `DISTANCES`, where that is declared.
        tests: the folder with a test for each revision, where there is one.
        types: the types of columns that revisions declare, by table and column, where all say the same.
    """

    roots: tuple[Path, ...] = ()
    own: frozenset[str] = frozenset()
    levels: bool = False
    distance: str | None = None
    tests: Path | None = None
    types: dict[tuple[str, str], ColumnType] = field(default_factory=dict)
