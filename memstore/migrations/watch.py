"""Watching a statement from another connection while it runs: how far it is, and who it waits for."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.util import greenlet_spawn

from .progress import Blocker, Progress, Rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from .progress import Reporter

log = logging.getLogger("memstore.migrations")

EVERY_S = 0.5
_JOIN_S = 1.0

# Of a build only its own role and members of pg_read_all_stats see more than the pid: the watcher has the same role.
_SAMPLE = """
    SELECT coalesce(p.phase, 'running'), p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total,
           coalesce(b.pids, '{{}}'), coalesce(b.applications, '{{}}'), coalesce(b.states, '{{}}'),
           coalesce(b.queries, '{{}}')
    FROM (VALUES ({pid})) AS watched (pid)
    LEFT JOIN pg_stat_progress_create_index AS p USING (pid)
    LEFT JOIN LATERAL (
        SELECT array_agg(a.pid) AS pids, array_agg(coalesce(a.application_name, '')) AS applications,
               array_agg(coalesce(a.state, 'unknown')) AS states,
               array_agg(coalesce(left(regexp_replace(a.query, '\\s+', ' ', 'g'), 120), '')) AS queries
        FROM pg_stat_activity AS a WHERE a.pid = ANY (pg_blocking_pids(watched.pid))
    ) AS b ON true
"""


@contextmanager
def watched(connection: Connection, report: Reporter, operation: str, target: str, phase: str) -> Iterator[None]:
    """Report how far the block is, every half a second from its first one on, until it ends.

    The block runs statements on `connection`, which has no transaction open. What takes less than half a second opens
    no second connection. Where none is to be had, that is logged, and the block goes on without being watched.
    """
    pid = int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
    over = threading.Event()
    watcher = threading.Thread(
        target=_watch,
        args=(connection.engine, pid, over, report, Progress(operation, target, phase)),
        name="memstore progress",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(_JOIN_S)  # it may be connecting still, and nobody waits for that


def _watch(engine: Engine, pid: int, over: threading.Event, report: Reporter, beginning: Progress) -> None:
    if over.wait(EVERY_S):
        return
    try:
        if engine.dialect.is_async:
            asyncio.run(greenlet_spawn(_sample_until, engine, pid, over, report, beginning))
        else:
            _sample_until(engine, pid, over, report, beginning)
    except Exception as error:  # noqa: BLE001 -- a build of hours does not fail because nobody can watch it
        if over.is_set():
            return
        log.warning("%s %s goes on unwatched: %s", beginning.operation, beginning.target, error)


def _sample_until(engine: Engine, pid: int, over: threading.Event, report: Reporter, beginning: Progress) -> None:
    pool = engine.pool.recreate()  # with the engine's way of connecting; its own may belong to another event loop
    rate = Rate()
    connection = pool.connect()
    try:
        cursor = connection.cursor()
        while not over.is_set():
            cursor.execute(_SAMPLE.format(pid=pid))
            progress = _progress(beginning, rate, cursor.fetchone())
            if over.is_set():  # somebody else's report would be mixed up with it by now
                return
            report(progress)
            connection.rollback()  # else what pg_stat_activity showed stays as it was
            over.wait(EVERY_S)
    finally:
        connection.close()
        pool.dispose()


def _progress(beginning: Progress, rate: Rate, row: Any) -> Progress:
    phase, blocks_done, blocks_total, tuples_done, tuples_total, *blockers = row
    if tuples_total:  # HNSW has none and counts blocks; IVFFlat has both, and its blocks stand still
        done, total, unit = tuples_done, tuples_total, "tuples"
    elif blocks_total:
        done, total, unit = blocks_done, blocks_total, "blocks"
    else:
        done, total, unit = None, None, "blocks"
    if phase == "running":
        phase = beginning.phase
    return Progress(
        beginning.operation,
        beginning.target,
        phase,
        done,
        total,
        unit,
        rate.eta_s(phase, done, total),
        tuple(Blocker(*each) for each in zip(*blockers, strict=True)),
    )
