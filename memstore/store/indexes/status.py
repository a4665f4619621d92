"""Which vector indexes there are, how they do, and which there should be. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...database import explained, open_connection
from ...settings import Settings, settings_beside_a_host
from .decision import choose, is_stale
from .facts import agreement, check_sees_all, memory, vector_schema, volumes
from .found import find_indexes, find_targets
from .plan import plan_build
from .request import ALL_INDEXES
from .targets import IndexedTable, IndexMethod

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .decision import Choice
    from .found import FoundIndex
    from .plan import IndexAction
    from .request import IndexSelection


@dataclass(frozen=True, slots=True)
class IndexState:
    """A vector index as it is.

    ours: memstore names, builds and drops it; others are shown and left alone.
    method: `hnsw` or `ivfflat`, `halfvec` whether it holds half precision.
    lists: of IVFFlat, None for HNSW; `m` and `ef_construction` the other way round.
    valid: searches can use it. One that is not is being built (`being_built`), or was left behind by a killed run.
    by_cosine: it is ordered by the cosine, which memstore searches by.
    size: bytes.
    scans: how often PostgreSQL used it since statistics were reset.
    rows_at_build: vectors when it was built, None where that is not known.
    stale: why it should be built anew, None where it need not be.
    """

    name: str
    table: IndexedTable
    ours: bool
    method: str
    halfvec: bool
    lists: int | None
    m: int | None
    ef_construction: int | None
    valid: bool
    being_built: bool
    by_cosine: bool
    size: int
    scans: int
    rows_at_build: int | None
    built_at: str | None
    stale: str | None


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What one table, or one model of `embeddings`, has and should have.

    rows: vectors, of all tenants; `largest` is how many the tenant has that has the most.
    estimated: both are from a sample of the table.
    auto: the index that `auto` would build if there were none, such as `hnsw halfvec`, or `none`; `reason` says why.
    build: what `build_indexes` would do now: as `auto` says, or keep what there is, or build it anew.
    """

    table: IndexedTable
    model: str | None
    dimensions: int
    rows: int
    largest: int
    estimated: bool
    auto: str
    reason: str
    build: IndexAction
    indexes: tuple[IndexState, ...]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """All that can have an index; `others` are indexes on these tables that are not memstore's."""

    targets: tuple[IndexStatus, ...]
    others: tuple[IndexState, ...]


async def index_status(
    engine: AsyncEngine,
    selection: IndexSelection = ALL_INDEXES,
    *,
    memory_limit: str | None = None,
    settings: Settings | None = None,
) -> IndexReport:
    """Return which vector indexes there are, and which there should be.

    `memory_limit` is what a build might use, such as `2GB`; None: as the settings or the server say.

    Raises:
        PermissionDeniedError: the role is confined to one tenant at a time.
        EmbeddingModelError: no such model is registered.
    """
    settings = settings or settings_beside_a_host()
    async with open_connection(engine) as connection:
        with explained(engine.url):
            await check_sees_all(connection)
            known = await find_targets(connection)
            targets = selection.of(known)
            found, others = await find_indexes(connection, known)
            counted = await volumes(connection, targets)
            may_use = await memory(connection, settings, memory_limit)
            schema = await vector_schema(connection)
            reports = []
            for target in targets:
                volume = counted[target]
                measured = await agreement(connection, target, volume, schema)
                choice = choose(target, volume, may_use, measured, method=IndexMethod.AUTO)
                states = tuple(_state(each, volume.rows) for each in found[target])
                reports.append(
                    IndexStatus(
                        table=target.table,
                        model=target.model,
                        dimensions=target.dimensions,
                        rows=volume.rows,
                        largest=volume.largest,
                        estimated=volume.estimated,
                        auto=_named(choice),
                        reason=choice.reason,
                        build=plan_build(found[target], choice, volume).action,
                        indexes=states,
                    )
                )
            tables = {target.table for target in targets}
            return IndexReport(tuple(reports), tuple(_state(each, None) for each in others if each.table in tables))


def _named(choice: Choice) -> str:
    return IndexMethod.NONE.value if choice.form is None else str(choice.form)


def _state(index: FoundIndex, rows: int | None) -> IndexState:
    stale = None
    if index.form is not None and rows is not None:
        stale = is_stale(index.form, index.rows_at_build, rows)
    return IndexState(
        name=index.name,
        table=index.table,
        ours=index.form is not None or index.leftover,
        method=index.method,
        halfvec=index.halfvec,
        lists=index.lists,
        m=None if index.graph is None else index.graph.m,
        ef_construction=None if index.graph is None else index.graph.ef_construction,
        valid=index.valid,
        being_built=index.being_built,
        by_cosine=index.by_cosine,
        size=index.size,
        scans=index.scans,
        rows_at_build=index.rows_at_build,
        built_at=index.built_at,
        stale=stale,
    )
