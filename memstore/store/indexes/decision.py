"""Which vector index is right: decided from numbers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import SettingsError
from .graph import graph_for, less_careful
from .memory import clustering_bytes, graph_bytes, lists_for, lists_within, shown
from .targets import MAX_HALFVEC_DIMENSIONS, MAX_VECTOR_DIMENSIONS, IndexedTable, IndexForm, IndexMethod

if TYPE_CHECKING:
    from .targets import IndexTarget

# Under so many rows in one tenant a search without an index takes a few milliseconds; memory_nodes has a covering index
# of bits besides, by which it does with twice as many. See docs/indexes.md.
EXACT_BELOW = {
    IndexedTable.MEMORY_NODES: 10_000,
    IndexedTable.EPISODIC_MEMORIES: 5_000,
    IndexedTable.EMBEDDINGS: 5_000,
}
# A walk of the graph meets the vectors of all tenants: among `rows` it serves a tenant of `largest` better than
# comparing that tenant's own when largest * largest > so much * rows, as hybrid_search and similarity_search reckon;
# for memory_nodes that is so among 100,000, and grows with the rows (`_is_walked`).
WALKED = {IndexedTable.MEMORY_NODES: 1_100, IndexedTable.EPISODIC_MEMORIES: 100, IndexedTable.EMBEDDINGS: 100}
ENOUGH_AGREEMENT = 0.995
STALE_GROWTH = 10  # times as many rows as when the lists were made
STALE_LISTS = 4  # times as many lists, or a part of them, as suit the rows


@dataclass(frozen=True, slots=True)
class Volume:
    """How much there is to index.

    rows: vectors, of all tenants.
    largest: vectors of the tenant that has the most: searches are within one.
    estimated: from a sample of the table's pages, not counted.
    """

    rows: int
    largest: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What the build of an index may use: so many bytes, and who says so."""

    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which index is right, None for no index, and why, in words."""

    form: IndexForm | None
    reason: str


def choose(
    target: IndexTarget,
    volume: Volume,
    memory: Memory,
    agreement: float | None,
    *,
    method: IndexMethod = IndexMethod.AUTO,
    halfvec: bool | None = None,
) -> Choice:
    """Decide which index `target` should have.

    Args:
        target: what it is for.
        volume: how many vectors there are.
        memory: what the build may use.
        agreement: which share of the nearest vectors half precision finds too, as measured; None where it was not.
        method: `auto` decides; another one is taken as it is.
        halfvec: None decides.

    Raises:
        SettingsError: what is asked for cannot be, at that width.
    """
    if method is IndexMethod.NONE:
        return Choice(None, "no index was asked for")
    if target.dimensions > MAX_HALFVEC_DIMENSIONS:
        return _too_wide(target, method)
    if method is IndexMethod.AUTO and (few := _few(target, volume)) is not None:
        return Choice(None, few)
    half, precision = _precision(target, agreement, halfvec)
    if method is IndexMethod.HNSW:
        form = _graph(volume, half)
        return Choice(form, f"hnsw was asked for, with {form.graph}; {precision}")
    if method is IndexMethod.IVFFLAT:
        lists = lists_within(volume.rows, target.dimensions, memory.size, halfvec=half)
        if lists is None:
            needed = clustering_bytes(1, volume.rows, target.dimensions, halfvec=half)
            raise SettingsError(
                f"{target}: the lists of an IVFFlat index over {target.dimensions:,} dimensions need {shown(needed)}, "
                f"it may use {shown(memory.size)} ({memory.source}). "
                f"Type: --memory {_next_megabytes(needed)}MB, or --method hnsw"
            )
        return Choice(IndexForm(method, half, lists), f"ivfflat was asked for, {_lists(lists, volume)}; {precision}")
    return _by_memory(target, volume, memory, half, precision)


def is_stale(form: IndexForm, rows_at_build: int | None, rows: int) -> str | None:
    """Say why an index should be built anew, None where it need not be.

    The lists of IVFFlat are of the rows at its build. HNSW grows with its rows, but as carefully as it was begun.
    """
    if form.method is IndexMethod.HNSW:
        return less_careful(form.graph, rows)
    if rows_at_build is not None and rows >= STALE_GROWTH * max(1, rows_at_build):
        return f"its lists were made of {rows_at_build:,} rows, now there are {rows:,}"
    wanted = lists_for(rows)
    if form.lists is not None and (form.lists * STALE_LISTS < wanted or form.lists > wanted * STALE_LISTS):
        return f"it has {form.lists:,} lists, {wanted:,} suit {rows:,} rows"
    return None


def as_it_was(before: IndexForm, form: IndexForm | None) -> str:
    """Say why an index is built anew that nobody asked to be of this method: it was of it `before`."""
    now = "" if form is None or form.lists is None else f", now {form.lists:,} lists"
    if form is not None and form.graph != before.graph:
        now = f", now with {form.graph}"
    if form is None or form.halfvec is before.halfvec:
        return f"{before}, as it was{now}"
    return f"{before.method.value}, as it was{now}; {'halfvec' if form.halfvec else 'full precision'} was asked for"


def _too_wide(target: IndexTarget, method: IndexMethod) -> Choice:
    why = (
        f"{target.dimensions:,} dimensions are more than the {MAX_HALFVEC_DIMENSIONS:,} that a vector index takes; "
        "searches compare all of a tenant's vectors, which finds everything"
    )
    if method is not IndexMethod.AUTO:
        raise SettingsError(f"{target}: {why}. Leave it without an index: --method none")
    return Choice(None, why)


def _few(target: IndexTarget, volume: Volume) -> str | None:
    enough = EXACT_BELOW[target.table]
    about = "about " if volume.estimated else ""
    if volume.largest >= enough and _is_walked(target, volume):
        return None
    if volume.largest >= enough:
        return (
            f"the largest tenant has {about}{volume.largest:,} vectors of {volume.rows:,} in all: a walk of the index "
            f"would pass {volume.rows / volume.largest:,.0f} for each of its own, and comparing its own is faster"
        )
    return (
        f"the largest tenant has {about}{volume.largest:,} vectors (of {volume.rows:,} in all): below {enough:,}, "
        "a search without an index takes milliseconds, and finds everything"
    )


def _is_walked(target: IndexTarget, volume: Volume) -> bool:
    # Each step in a larger graph takes longer, by what memstore.choose_vector_plan was measured with.
    times = (volume.rows / 100_000) ** 0.4 if target.table is IndexedTable.MEMORY_NODES else 1
    return volume.largest**2 >= WALKED[target.table] * times * volume.rows


def _precision(target: IndexTarget, agreement: float | None, halfvec: bool | None) -> tuple[bool, str]:
    dimensions = target.dimensions
    if dimensions > MAX_VECTOR_DIMENSIONS:
        if halfvec is False:
            raise SettingsError(
                f"{target}: {dimensions:,} dimensions are more than the {MAX_VECTOR_DIMENSIONS:,} that an index takes "
                "in full precision. Leave out --no-halfvec"
            )
        return True, f"halfvec, since {dimensions:,} dimensions are more than {MAX_VECTOR_DIMENSIONS:,}"
    if halfvec is not None:
        return halfvec, "halfvec was asked for" if halfvec else "full precision was asked for"
    if agreement is None:
        return False, "full precision, since half of it was not tried"
    tried = f"half precision finds {agreement:.2%} of the nearest vectors of a sample"
    if agreement >= ENOUGH_AGREEMENT:
        return True, f"halfvec, since {tried}"
    return False, f"full precision, since {tried} and {ENOUGH_AGREEMENT:.1%} are needed"


def _by_memory(target: IndexTarget, volume: Volume, memory: Memory, half: bool, precision: str) -> Choice:
    form = _graph(volume, half)
    graph = graph_bytes(volume.rows, target.dimensions, halfvec=half, m=form.graph.m)
    has = f"{shown(memory.size)} ({memory.source})"
    over = f"{volume.rows:,} vectors of {target.dimensions:,} dimensions"
    if graph <= memory.size:
        reason = f"hnsw, since the graph over {over} takes about {shown(graph)} of the {has}"
        return Choice(form, f"{reason}, with {form.graph}; {precision}")
    lists = lists_within(volume.rows, target.dimensions, memory.size, halfvec=half)
    raise_it = f"with --memory {_next_megabytes(graph)}MB it would be hnsw"
    if lists is None or lists * STALE_LISTS < lists_for(volume.rows):
        # A graph on disk is slow to build, but finds what it should; lists this few would be slow to search.
        reason = (
            f"hnsw, though the graph over {over} takes about {shown(graph)} and it may use {has}: it is built slowly, "
            f"partly on disk, with {form.graph}; the lists of ivfflat fit no better; {precision}"
        )
        return Choice(form, reason)
    reason = (
        f"ivfflat, {_lists(lists, volume)}, since the graph of hnsw over {over} takes about {shown(graph)} and it may "
        f"use {has}; {raise_it}; {precision}"
    )
    return Choice(IndexForm(IndexMethod.IVFFLAT, half, lists), reason)


def _graph(volume: Volume, half: bool) -> IndexForm:
    return IndexForm(IndexMethod.HNSW, half, graph=graph_for(volume.rows))


def _lists(lists: int, volume: Volume) -> str:
    suit = lists_for(volume.rows)
    return f"{lists:,} lists" if lists >= suit else f"{lists:,} lists (for want of memory; {suit:,} would suit)"


def _next_megabytes(size: int) -> int:
    return -(-size * 21 // 20 // 2**20)  # rounded up, with a twentieth to spare
