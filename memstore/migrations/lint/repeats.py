"""The rule about safe operations that work on the same object: a second run would meet what the later one has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import Kind
from .problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .changes import Change
    from .finding import Problem
    from .revision import Revision


def repeats(revision: Revision) -> Iterator[Problem]:
    """Yield the safe operations on what an earlier one of the same direction has worked on already."""
    for listed in revision.changes.values():
        earlier: dict[str, Change] = {}
        for change in listed:
            if change.kind is not Kind.SAFE:
                continue
            for name in change.objects:
                first = earlier.setdefault(name, change)
                if first is not change and not _begins_anew(first, change):
                    what = f"{change.name} on {name}, after {first.name} (line {first.line}) on the same"
                    yield problem("MS115", change, what, f"{change.name} in the next revision")
                    break
                earlier[name] = change


def _begins_anew(first: Change, second: Change) -> bool:
    """Tell whether the first takes away what the second makes: a second run does both again, and ends the same."""
    # An index of a constraint is not dropped by itself.
    owned = first.name == "op.drop_index_concurrently" and second.name == "op.add_unique_safely"
    return (first.name or "").startswith("op.drop_") and not owned
