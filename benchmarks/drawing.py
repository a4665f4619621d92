"""The pictures that the README shows: SVG, the same bytes for the same numbers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Line:
    """A line: its name, where its points are, and how it looks."""

    label: str
    x: Sequence[float]
    milliseconds: Sequence[float]
    recall: Sequence[float] | None = None
    looks: tuple[tuple[str, Any], ...] = ()

    @property
    def style(self) -> dict[str, Any]:
        """Return what matplotlib is told."""
        return {"marker": "o", "label": self.label} | dict(self.looks)


def draw_sweep(lines: Sequence[Line], path: Path, title: str) -> None:
    """Draw recall above and time below, by the share of the tenant."""
    with _figure(path, 2, 1, sharex=True, figsize=(8, 7)) as (above, below):
        for line in lines:
            if line.recall is not None:
                above.plot(line.x, line.recall, **line.style)
            below.plot(line.x, line.milliseconds, **line.style)
        above.set(ylabel="recall@10", ylim=(0, 1.05), title=title)
        below.set(xscale="log", yscale="log", ylabel="p50, ms", xlabel="the tenant's share of the rows")
        below.xaxis.set_major_formatter(lambda share, _: f"{share * 100:g}%")
        _plain_numbers(below)
        below.legend()


def draw_growth(lines: Sequence[Line], path: Path) -> None:
    """Draw time on the left and recall on the right, by the rows of the table."""
    with _figure(path, 1, 2, figsize=(10, 4.5)) as (left, right):
        for line in lines:
            left.plot(line.x, line.milliseconds, **line.style)
            right.plot(line.x, line.recall, **line.style)
        left.set(xscale="log", yscale="log", xlabel="memories in the table", ylabel="p50, ms")
        right.set(xscale="log", xlabel="memories in the table", ylabel="recall@10", ylim=(0, 1.05))
        for axes in (left, right):
            axes.xaxis.set_major_formatter("{x:,.0f}")
        _plain_numbers(left)
        right.legend()


def _plain_numbers(axes: Any) -> None:
    for format_ in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        format_("{x:g}")


@contextmanager
def _figure(path: Path, rows: int, columns: int, **options: Any) -> Iterator[Any]:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "memstore"  # else each drawing differs
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(rows, columns, **options)
    for each in axes:
        each.grid(alpha=0.3)
    yield axes
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
