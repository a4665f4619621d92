"""How far a migration is, for whoever waits: a bar on a terminal, else a line now and then, or JSON for programs."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as ProgressBar

from ..migrations.progress import NowAndThen
from .common import err, print_json_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..migrations.progress import Progress, Reporter


@contextmanager
def reporting(as_json: bool) -> Iterator[Reporter]:
    """Yield what to tell progress to."""
    if as_json:
        yield _print_line
    elif err.is_terminal:
        with ProgressBar(
            TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[how_far]}"), console=err
        ) as bar:
            yield _Bars(bar)
    else:
        yield NowAndThen(lambda line: err.print(line, markup=False))


class _Bars:
    """A bar for each operation, with its phase; advice stays above them."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        key = progress.operation, progress.target
        if key not in self._tasks:
            self._tasks[key] = self._bar.add_task(
                escape(f"{progress.operation} {progress.target}"), total=None, how_far=""
            )
        if progress.advice is not None:
            self._bar.console.print(progress.advice, markup=False)
            return
        self._bar.update(
            self._tasks[key], total=progress.total, completed=progress.done or 0, how_far=escape(_how_far(progress))
        )


def _how_far(progress: Progress) -> str:
    parts = [progress.phase]
    if progress.percent is not None:
        parts.append(f"{progress.percent:.0f} %")
    if progress.eta_s is not None:
        parts.append(f"{progress.eta_s:.0f} s left")
    parts += [f"waiting for {each}" for each in progress.blocked_by]
    return ", ".join(parts)


def _print_line(progress: Progress) -> None:
    print_json_line(event="progress", **dataclasses.asdict(progress), percent=progress.percent)
