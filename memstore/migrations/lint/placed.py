"""The changes of one direction in order, and quick answers to what came before and what comes after one of them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .changes import Change, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMED_LATER = (Kind.CREATE_INDEX, Kind.FOREIGN_KEY, Kind.CHECK, Kind.UNIQUE, Kind.PRIMARY_KEY, Kind.EXCLUDE)


class Order:
    """What one direction of a revision does, in order.

    A loop over constants makes thousands of changes: what is asked about each must not go through all the others.
    """

    def __init__(self, direction: str, changes: Sequence[Change]) -> None:
        self.direction = direction
        self.changes = changes
        self._places: dict[Kind, list[int]] = {}
        self.made: dict[str | None, int] = {}  # the first place where a table is made
        self.dropped: dict[str | None, int] = {}  # the last where it is dropped
        self._names: dict[tuple[Kind, str | None], set[str | None]] = {}
        for place, change in enumerate(changes):
            self._places.setdefault(change.kind, []).append(place)
            if change.kind is Kind.CREATE_TABLE:
                self.made.setdefault(change.table, place)
            elif change.kind is Kind.DROP_TABLE:
                self.dropped[change.table] = place
            self._names.setdefault(_subject(change), set()).add(_bare(change.name))

    def of(self, *kinds: Kind) -> Iterator[Placed]:
        """Yield the changes of some kinds, in order."""
        for place in sorted(place for kind in kinds for place in self._places.get(kind, ())):
            yield Placed(self.changes[place], self, place)

    def has(self, change: Change) -> bool:
        """Tell whether a change is among them, or may be: one that Alembic gives a name has none in the file."""
        names = self._names.get(_subject(change), set())
        return _bare(change.name) in names or (change.kind in _NAMED_LATER and None in names)

    def before(self, place: int, *kinds: Kind) -> Iterator[Change]:
        """Yield the changes of some kinds that come before a place, of each kind the nearest first."""
        for kind in kinds:
            places = self._places.get(kind, [])
            for index in reversed(range(bisect_left(places, place))):
                yield self.changes[places[index]]

    def after(self, place: int, *kinds: Kind) -> Iterator[Change]:
        """Yield the changes of some kinds that come after a place, of each kind the nearest first."""
        for kind in kinds:
            places = self._places.get(kind, [])
            for index in range(bisect_left(places, place + 1), len(places)):
                yield self.changes[places[index]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A change, and where it stands among those of its direction."""

    change: Change
    order: Order
    place: int

    @property
    def direction(self) -> str:
        """Which way it goes."""
        return self.order.direction

    @property
    def table_is_new(self) -> bool:
        """Whether the table was made in the same direction before, so that nobody can wait for it."""
        return self.made_before(self.change.table)

    def made_before(self, table: str | None) -> bool:
        """Tell whether a table was made before it; with None, one whose name cannot be told."""
        return self.order.made.get(table, self.place) < self.place

    def dropped_after(self, table: str | None) -> bool:
        """Tell whether a table is dropped after it; with None, one whose name cannot be told."""
        return self.order.dropped.get(table, self.place) > self.place

    @property
    def previous(self) -> Change | None:
        """What comes right before it."""
        return self.order.changes[self.place - 1] if self.place else None

    def before(self, *kinds: Kind) -> Iterator[Change]:
        """Yield the changes of some kinds that come before it, of each kind the nearest first."""
        return self.order.before(self.place, *kinds)

    def after(self, *kinds: Kind) -> Iterator[Change]:
        """Yield the changes of some kinds that come after it, of each kind the nearest first."""
        return self.order.after(self.place, *kinds)


def _subject(change: Change) -> tuple[Kind, str | None]:
    # DROP INDEX does not name the table.
    return change.kind, None if change.kind is Kind.DROP_INDEX else change.table


def _bare(name: str | None) -> str | None:
    return name and name.rpartition(".")[2]
