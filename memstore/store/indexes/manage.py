"""Building, building anew and dropping vector indexes while their tables are read and written."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from ...database import explained
from ...migrations import index_builder
from ...settings import Settings, settings_beside_a_host
from .carry_out import NEW, carry_out, drop
from .decision import as_it_was, choose
from .facts import agreement, check_owner_of_tables, memory, vector_schema, volumes
from .found import find_indexes, find_targets
from .plan import IndexPlan, plan_build, plan_rebuild, serving, worthiest
from .refresh import refresh
from .request import ALL_INDEXES, AS_DECIDED, IndexOptions, IndexRun, IndexSelection
from .targets import MAX_HALFVEC_DIMENSIONS, IndexMethod

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ...migrations import Reporter
    from .decision import Choice, Memory, Volume
    from .found import FoundIndex
    from .targets import IndexForm, IndexTarget


async def build_indexes(
    engine: AsyncEngine,
    selection: IndexSelection = ALL_INDEXES,
    options: IndexOptions = AS_DECIDED,
    *,
    settings: Settings | None = None,
    on_progress: Reporter | None = None,
) -> IndexRun:
    """Build the vector indexes that are wanted and missing, and drop those that they take the place of.

    Tables are read and written meanwhile, and searches find the same, exactly where there is no index yet. Several at
    once are safe, and so is a kill at any moment: run it again. In the end search statistics are counted anew.

    Args:
        engine: connects as the owner of the tables.
        selection: for which tables or which model.
        options: `auto` decides by rows, memory and what half precision costs.
        settings: lock timeouts, retries, memory; those of the environment when None.
        on_progress: called with a `memstore.migrations.Progress` now and then, also from another thread.

    Raises:
        PermissionDeniedError: the role does not own the tables.
        SettingsError: what is asked for cannot be, at that width or in that memory.
        EmbeddingModelError: no such model is registered.
        MigrationLockError: somebody else builds indexes or migrates, and does not end in time.
        MigrationError: a table stayed busy; what was built until then stays.
    """

    async def plan(found: Sequence[FoundIndex], choose_as: _Chooser, volume: Volume) -> IndexPlan:
        choice = await choose_as(options.method, options.halfvec, there=serving(found))
        return plan_build(found, choice, volume, method=options.method, halfvec=options.halfvec)

    return await _run(engine, selection, options, settings, on_progress, plan)


async def rebuild_indexes(
    engine: AsyncEngine,
    selection: IndexSelection = ALL_INDEXES,
    options: IndexOptions = AS_DECIDED,
    *,
    settings: Settings | None = None,
    on_progress: Reporter | None = None,
) -> IndexRun:
    """Build the vector indexes that there are anew, as they are or as `options` say, each beside the old one.

    IVFFlat wants it when the rows have changed, since its lists are made when it is built. Raises as `build_indexes`.
    """

    async def plan(found: Sequence[FoundIndex], choose_as: _Chooser, _volume: Volume) -> IndexPlan:
        form = worthiest(found)
        if form is None or options.method is not IndexMethod.AUTO:
            return plan_rebuild(found, await choose_as(options.method, options.halfvec))
        half = form.halfvec if options.halfvec is None else options.halfvec
        choice = _no_less_careful(form, await choose_as(form.method, half))
        return plan_rebuild(found, replace(choice, reason=as_it_was(form, choice.form)))

    return await _run(engine, selection, options, settings, on_progress, plan)


async def drop_indexes(
    engine: AsyncEngine,
    selection: IndexSelection = ALL_INDEXES,
    *,
    settings: Settings | None = None,
    on_progress: Reporter | None = None,
) -> IndexRun:
    """Drop memstore's vector indexes, and what killed runs left of them. Searches are exact then.

    Raises as `build_indexes`.
    """
    settings = settings or settings_beside_a_host()
    started, results = monotonic(), []
    async with index_builder(engine, settings, on_progress) as builder:
        with explained(engine.url):
            await check_owner_of_tables(builder.connection)
            targets = selection.of(await find_targets(builder.connection))
            found, _ = await find_indexes(builder.connection, targets)
            for target in targets:
                for each in found[target]:
                    results.append(await drop(builder, target, each.name, "asked for"))
    return IndexRun(tuple(results), 0, monotonic() - started)


class _Chooser:
    """Chooses for one target, and measures what half precision costs when that matters, once.

    One that is too wide for any index stays without, unless it was asked for `alone`, which is an error then.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        target: IndexTarget,
        volume: Volume,
        memory: Memory,
        schema: str,
        *,
        alone: bool,
    ) -> None:
        self._connection, self._target, self._volume = connection, target, volume
        self._memory, self._schema, self._alone = memory, schema, alone

    async def __call__(self, method: IndexMethod, halfvec: bool | None, there: IndexForm | None = None) -> Choice:
        if not self._alone and self._target.dimensions > MAX_HALFVEC_DIMENSIONS:
            method = IndexMethod.AUTO
        measured = None
        stays = method is IndexMethod.AUTO and there is not None and there.method is IndexMethod.HNSW
        if halfvec is None and method is not IndexMethod.NONE and not stays:
            measured = await agreement(self._connection, self._target, self._volume, self._schema)
        return choose(self._target, self._volume, self._memory, measured, method=method, halfvec=halfvec)


def _no_less_careful(before: IndexForm, choice: Choice) -> Choice:
    """Return the choice with a graph of no less care than the one before: somebody may have wanted more than auto."""
    if choice.form is None or choice.form.method is not IndexMethod.HNSW:
        return choice
    return replace(choice, form=replace(choice.form, graph=choice.form.graph.with_care_of(before.graph)))


async def _run(
    engine: AsyncEngine,
    selection: IndexSelection,
    options: IndexOptions,
    settings: Settings | None,
    on_progress: Reporter | None,
    plan: Callable[[Sequence[FoundIndex], _Chooser, Volume], Awaitable[IndexPlan]],
) -> IndexRun:
    settings = settings or settings_beside_a_host()
    started, results = monotonic(), []
    async with index_builder(engine, settings, on_progress) as builder:
        connection = builder.connection
        with explained(engine.url):
            await check_owner_of_tables(connection)
            targets = selection.of(await find_targets(connection))
            found, _ = await find_indexes(connection, targets)
            counted = await volumes(connection, targets)
            may_use = await memory(connection, settings, options.memory)
            schema = await vector_schema(connection)
            planned = {}  # all of it before any is carried out: what cannot be is said at once, not hours later
            for target in targets:
                alone = len(targets) == 1
                chooser = _Chooser(connection, target, counted[target], may_use, schema, alone=alone)
                planned[target] = await plan(found[target], chooser, counted[target])
            for target, each in planned.items():
                results += await carry_out(builder, target, each, counted[target], may_use, schema)
            refreshed = await refresh(connection, [each.table for each in results if each.action in NEW])
    return IndexRun(tuple(results), refreshed, monotonic() - started)
