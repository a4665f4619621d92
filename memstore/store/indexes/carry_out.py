"""Doing what was planned for one target."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import text

from ...models import SCHEMA
from .found import comment
from .memory import MB, clustering_bytes, graph_bytes
from .plan import IndexAction
from .request import IndexResult
from .targets import IndexMethod

if TYPE_CHECKING:
    from ...migrations import IndexBuilder
    from .decision import Memory, Volume
    from .plan import IndexPlan
    from .targets import IndexForm, IndexTarget

NEW = (IndexAction.BUILT, IndexAction.REBUILT)
_LEAST_MEMORY = 64 * MB
_MARGIN = 1.25  # rows come in while an index is built

_BUILT = text("""
    SELECT reltuples::bigint AS rows, pg_relation_size(oid) AS size FROM pg_class WHERE oid = to_regclass(:name)
""")


async def carry_out(
    builder: IndexBuilder, target: IndexTarget, plan: IndexPlan, volume: Volume, may_use: Memory, schema: str
) -> list[IndexResult]:
    """Do what is planned for one target: clean, then build, then drop. Return what was done, one each."""
    dropped = []
    for name in plan.clean:
        started = monotonic()
        await builder.clean(SCHEMA, target.table.value, name)
        reason = "left behind by a killed run"
        dropped.append(_result(target, name, IndexAction.DROPPED, reason, monotonic() - started))
    made = _result(target, None, plan.action, plan.reason)
    if plan.form is not None:
        made = await _made(builder, target, plan.action, plan.form, plan.reason, volume, may_use, schema)
    for each in plan.drop:
        reason = plan.reason if plan.form is None else f"{made.index} takes its place"
        dropped.append(await drop(builder, target, each, reason))
    made = replace(made, rows=volume.rows)
    return dropped if made.action is IndexAction.NONE and dropped else [made, *dropped]


async def _made(
    builder: IndexBuilder,
    target: IndexTarget,
    action: IndexAction,
    form: IndexForm,
    reason: str,
    volume: Volume,
    may_use: Memory,
    schema: str,
) -> IndexResult:
    started, name = monotonic(), target.name(form)
    wanted = target.index(form, schema)
    if action in NEW:
        make = builder.build if action is IndexAction.BUILT else builder.rebuild
        await make(wanted, memory=_memory_for(form, target, volume, may_use))
    rows, size = (await builder.connection.execute(_BUILT, {"name": f"{SCHEMA}.{name}"})).one()
    if action in NEW:
        await builder.comment(wanted, comment(rows, datetime.now(UTC).isoformat(timespec="seconds")))
    return replace(_result(target, name, action, reason, monotonic() - started), size=size)


async def drop(builder: IndexBuilder, target: IndexTarget, name: str, reason: str) -> IndexResult:
    """Drop an index of a target."""
    started = monotonic()
    await builder.drop(SCHEMA, target.table.value, name)
    return _result(target, name, IndexAction.DROPPED, reason, monotonic() - started)


def _result(
    target: IndexTarget, name: str | None, action: IndexAction, reason: str, seconds: float = 0.0
) -> IndexResult:
    return IndexResult(target.table, target.model, name, action, reason, None, None, seconds)


def _memory_for(form: IndexForm, target: IndexTarget, volume: Volume, may_use: Memory) -> str:
    """Return what the build is given: no more than it needs, since pgvector takes all of it at once for its workers."""
    if form.method is IndexMethod.HNSW:
        needed = graph_bytes(volume.rows, target.dimensions, halfvec=form.halfvec, m=form.graph.m)
    else:
        needed = clustering_bytes(form.lists or 1, volume.rows, target.dimensions, halfvec=form.halfvec)
    return f"{max(1024, min(may_use.size, max(_LEAST_MEMORY, round(needed * _MARGIN))) // 1024)}kB"
