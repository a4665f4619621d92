"""How far something long is: what is told to whoever waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

log = logging.getLogger("memstore.migrations")

EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that keeps a migration waiting."""

    pid: int
    application: str
    state: str
    query: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.application or 'no name'}, {self.state}): {self.query}"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an operation is.

    operation: its name, such as `create_index_concurrently`.
    target: what it works on, such as `memstore.ix_memory_nodes_expiry`.
    phase: what it does now, in PostgreSQL's words where it has any.
    done, total: how much of the phase, in `unit`; None where nobody knows.
    eta_s: seconds until the phase ends at its present rate, None where nobody knows.
    blocked_by: the sessions that it waits for now.
    advice: what would make it faster, with the setting to raise.
    """

    operation: str
    target: str
    phase: str
    done: int | None = None
    total: int | None = None
    unit: str = "rows"
    eta_s: float | None = None
    blocked_by: tuple[Blocker, ...] = ()
    advice: str | None = None

    @property
    def percent(self) -> float | None:
        """How much of the phase is done, 0 to 100."""
        if self.done is None or not self.total:
            return None
        return min(100.0, 100 * self.done / self.total)

    def __str__(self) -> str:
        parts = [f"{self.operation} {self.target}: {self.phase}"]
        if self.percent is not None:
            parts.append(f"{self.percent:.0f} % ({self.done} of {self.total} {self.unit})")
        elif self.done is not None:
            parts.append(f"{self.done} {self.unit}")
        if self.eta_s is not None:
            parts.append(f"{self.eta_s:.0f} s left")
        parts += [f"waiting for {each}" for each in self.blocked_by]
        if self.advice is not None:
            parts.append(self.advice)
        return ", ".join(parts)


Reporter = Callable[[Progress], None]


class NowAndThen:
    """Writes a line now and then, and at once when there is advice: how progress is told where nobody asked for it."""

    def __init__(self, write: Callable[[str], None] = log.info, every_s: float = EVERY_S) -> None:
        self._write = write
        self._every_s = every_s
        self._last = monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.advice is None and monotonic() - self._last < self._every_s:
            return
        self._last = monotonic()
        self._write(str(progress))


class Rate:
    """How fast a phase goes, from what was done of it since it began to be watched."""

    def __init__(self) -> None:
        self._phase: str | None = None
        self._began = (0.0, 0)

    def eta_s(self, phase: str, done: int | None, total: int | None) -> float | None:
        """Return the seconds that the rest of the phase takes at the rate until now, None where that is not known."""
        now = monotonic()
        if done is None or not total or phase != self._phase or done < self._began[1]:
            self._phase, self._began = phase, (now, done or 0)
            return None
        began, at = self._began
        if done <= at or now <= began:
            return None
        return max(0, total - done) * (now - began) / (done - at)
