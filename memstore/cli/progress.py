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
        columns = (BarColumn(bar_width=10), TextColumn("{task.fields[share]}"), TextColumn("{task.description}"))
        with ProgressBar(*columns, console=err, transient=True) as bar:
            yield _Bars(bar)
    else:
        yield NowAndThen(lambda line: err.print(line, markup=False))


class _Bars:
    """A bar for the operation under way, with its phase; advice stays above it."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        key = progress.operation, progress.target
        if key not in self._tasks:
            for over in self._tasks.values():
                self._bar.update(over, visible=False)
            self._tasks[key] = self._bar.add_task("", total=None, share="")
        if progress.advice is not None:
            self._bar.console.print(progress.advice, markup=False)
            return
        task, done = self._tasks[key], progress.done or 0
        self._bar.update(
            task, total=progress.total, completed=done, share=_share(progress), description=escape(_doing(progress))
        )


def _share(progress: Progress) -> str:
    share = "" if progress.percent is None else f"{progress.percent:3.0f} %"
    return share if progress.eta_s is None else f"{share}, {progress.eta_s:.0f} s left"


def _doing(progress: Progress) -> str:
    waiting = [f"waiting for {each}" for each in progress.blocked_by]
    return f"{progress.operation} {progress.target}\n{', '.join([progress.phase, *waiting])}"


def _print_line(progress: Progress) -> None:
    print_json_line(event="progress", **dataclasses.asdict(progress), percent=progress.percent)
