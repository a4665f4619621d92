"""The SQL of revisions, rendered once for a range and taken apart by revision."""

from __future__ import annotations

import io
import re
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from alembic import command

from ...settings import Settings
from ..environment import Run
from ..lock import process_lock
from ..proxies import kept_proxies
from ..width import DEFAULT_EMBEDDING_DIM

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alembic.script import Script

    from .project import Project

_RUNNING = re.compile(r"^-- Running (upgrade|downgrade) (.*?) ?-> ?(.*)$", re.MULTILINE)


@dataclass(slots=True)
class Rendered:
    """SQL by direction and revision, and what could not be rendered: (direction, revision, None for env.py, why)."""

    pieces: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[tuple[str, str | None, str]] = field(default_factory=list)


def rendered(project: Project, wanted: Sequence[Script], refusing: Collection[str]) -> Rendered:
    """Render revisions, both ways; the downgrades of those `refusing` one are left out.

    What fails is noted, and the rest rendered all the same.
    """
    found = Rendered()
    ids = {each.revision for each in wanted}
    # A host's env.py may take the lock itself, to migrate memstore on its way.
    with process_lock() if project.own else nullcontext():
        for start, end in _ups(wanted):
            _render(project, "upgrade", start, end, found)
        for start, end in _downs(project, wanted, refusing):
            _render(project, "downgrade", start, end, found)
    found.pieces = {key: sql for key, sql in found.pieces.items() if key[1] in ids}
    found.failures = [
        (direction, revision, why)
        for direction, revision, why in found.failures
        if revision is None or (revision in ids and not (direction == "downgrade" and revision in refusing))
    ]
    return found


def _ups(wanted: Sequence[Script]) -> list[tuple[str, str]]:
    """Return the ranges that have all that is wanted: one where it follows each other, else all there is."""
    if not wanted:
        return []
    return [(_parent(wanted[0]), wanted[-1].revision)] if _is_linear(wanted) else [("base", "heads")]


def _downs(project: Project, wanted: Sequence[Script], refusing: Collection[str]) -> list[tuple[str, str]]:
    if not wanted:
        return []
    if not _is_linear(wanted) and project.has_guests:
        # All the way to base would be memstore's too, where one depends on it: refused, and nothing rendered. One at a
        # time then, but for merges, for which there is no one revision to go to.
        steps = [(each, each.down_revision) for each in reversed(wanted) if each.revision not in refusing]
        return [
            (each.revision, parent or f"{each.revision}@base")
            for each, parent in steps
            if isinstance(parent, str | None)
        ]
    if not _is_linear(wanted):
        # Rendering, Alembic starts from one revision: from each head in turn, then.
        return [(head, "base") for head in project.script.get_heads()]
    found: list[tuple[str, str]] = []
    for script in reversed(wanted):
        if script.revision in refusing:
            continue
        if found and found[-1][1] == script.revision:
            found[-1] = (found[-1][0], _parent(script))
        else:
            found.append((script.revision, _parent(script)))
    return found


def _is_linear(wanted: Sequence[Script]) -> bool:
    follow = all(each.down_revision == before.revision for before, each in pairwise(wanted))
    return follow and not any(each.dependencies or isinstance(each.down_revision, tuple) for each in wanted)


def _parent(script: Script) -> str:
    return script.down_revision if isinstance(script.down_revision, str) else "base"


def _render(project: Project, direction: str, start: str, end: str, found: Rendered) -> None:
    step = command.upgrade if direction == "upgrade" else command.downgrade
    while True:
        text = io.StringIO()
        project.config.output_buffer = text
        if project.own:
            project.config.attributes[Run.KEY] = Run(Settings(), embedding_dim=DEFAULT_EMBEDDING_DIM)
        why = None
        try:
            # env.py may print; what this command prints may be read by a program.
            with kept_proxies(), redirect_stdout(sys.stderr):
                step(project.config, f"{start}:{end}", sql=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- env.py and revisions may raise anything
            why = " ".join(f"{type(error).__name__}: {error}".split())
        reached = _take_apart(direction, text.getvalue(), found)
        if why is None:
            return
        if not reached or (direction, reached[-1]) in {each[:2] for each in found.failures}:
            found.failures.append((direction, None, why))
            return
        failed = reached[-1]
        found.failures.append((direction, failed, why))
        start = failed if direction == "upgrade" else _parent(project.script.get_revision(failed))
        at_the_end = failed in project.script.get_heads() if direction == "upgrade" else start == "base"
        if at_the_end or start == end:
            return


def _take_apart(direction: str, sql: str, found: Rendered) -> list[str]:
    marks = list(_RUNNING.finditer(sql))
    transactional = bool(re.search(r"^BEGIN;", sql, re.MULTILINE))
    reached = []
    for number, mark in enumerate(marks):
        end = marks[number + 1].start() if number + 1 < len(marks) else len(sql)
        revision = (mark[3] if direction == "upgrade" else mark[2]).split(",")[0].strip()
        body = sql[mark.end() : end]
        # Each begins in a transaction, whose BEGIN comes before its mark.
        found.pieces.setdefault((direction, revision), f"BEGIN;\n{body}" if transactional else body)
        reached.append(revision)
    return reached
