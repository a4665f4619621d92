from __future__ import annotations

from dataclasses import dataclass

import pytest

from memstore.errors import SettingsError
from memstore.store.indexes import (
    IndexedTable,
    IndexForm,
    IndexMethod,
    IndexTarget,
    Memory,
    Volume,
    choose,
)
from memstore.store.indexes.decision import is_stale
from memstore.store.indexes.graph import CAREFUL, CAREFUL_FROM, Graph

AUTO, HNSW, IVFFLAT, NONE = IndexMethod.AUTO, IndexMethod.HNSW, IndexMethod.IVFFLAT, IndexMethod.NONE
NODES, EMBEDDINGS = IndexedTable.MEMORY_NODES, IndexedTable.EMBEDDINGS
FULL_GRAPH, HALF_GRAPH = IndexForm(HNSW, False), IndexForm(HNSW, True)
CAREFUL_HALF_GRAPH = IndexForm(HNSW, True, graph=CAREFUL)
MB = 2**20


@dataclass(frozen=True)
class Case:
    """What is chosen, and a part of why."""

    form: IndexForm | None
    why: str
    table: IndexedTable = NODES
    rows: int = 100_000
    largest: int = 100_000
    dimensions: int = 1_024
    memory: int = 1_024 * MB
    agreement: float | None = 0.999
    method: IndexMethod = AUTO
    halfvec: bool | None = None


CASES = {
    "half precision costs nothing": Case(HALF_GRAPH, "halfvec, since half precision finds 99.90% of the nearest"),
    "just enough agreement": Case(HALF_GRAPH, "halfvec", agreement=0.995),
    "too little agreement": Case(FULL_GRAPH, "and 99.5% are needed", agreement=0.9949),
    "not tried": Case(FULL_GRAPH, "half of it was not tried", agreement=None),
    "full precision asked for": Case(FULL_GRAPH, "full precision was asked for", halfvec=False),
    "half precision asked for": Case(HALF_GRAPH, "halfvec was asked for", agreement=0.1, halfvec=True),
    "nothing there": Case(None, "the largest tenant has 0 vectors", rows=0, largest=0),
    "one too few": Case(None, "below 10,000", rows=9_999, largest=9_999),
    "just enough": Case(HALF_GRAPH, "hnsw, since the graph over 10,000", rows=10_000, largest=10_000),
    "many small tenants": Case(None, "9,999 vectors (of 1,000,000 in all)", rows=1_000_000, largest=9_999),
    "embeddings have no bits": Case(HALF_GRAPH, "hnsw", table=EMBEDDINGS, rows=5_000, largest=5_000),
    "few embeddings": Case(None, "below 5,000", table=EMBEDDINGS, rows=4_999, largest=4_999),
    "too small a share": Case(
        None, "a walk of the index would pass 19 for each of its own", rows=1_000_000, largest=52_560
    ),
    "just enough of a share": Case(CAREFUL_HALF_GRAPH, "hnsw", rows=1_000_000, largest=52_570, memory=4_096 * MB),
    "too small a share of embeddings": Case(None, "100 for each", table=EMBEDDINGS, rows=1_000_000, largest=9_999),
    "just enough of embeddings": Case(
        CAREFUL_HALF_GRAPH, "hnsw", table=EMBEDDINGS, rows=1_000_000, largest=10_000, memory=4_096 * MB
    ),
    "few, but asked for": Case(HALF_GRAPH, "hnsw was asked for", rows=5, largest=5, method=HNSW),
    "asked for none": Case(None, "no index was asked for", method=NONE),
    "the widest vector": Case(FULL_GRAPH, "99.5% are needed", dimensions=2_000, agreement=0.5),
    "wider than a vector": Case(HALF_GRAPH, "2,001 dimensions are more than 2,000", dimensions=2_001, agreement=None),
    "the widest halfvec": Case(HALF_GRAPH, "4,000 dimensions are more than 2,000", dimensions=4_000),
    "wider than all": Case(None, "4,001 dimensions are more than the 4,000", dimensions=4_001),
    "wider than all, none asked for": Case(None, "no index was asked for", dimensions=4_001, method=NONE),
    "the graph does not fit": Case(
        IndexForm(IVFFLAT, True, 100), "takes about 263.4 MB and it may use 64 MB (the server)", memory=64 * MB
    ),
    "the graph just fits": Case(HALF_GRAPH, "about 263.4 MB of the 264 MB", memory=264 * MB),
    "full precision does not fit": Case(
        IndexForm(IVFFLAT, False, 100), "with --memory 482MB it would be hnsw", agreement=0.5, memory=264 * MB
    ),
    "past a million, the square root": Case(
        IndexForm(IVFFLAT, True, 2_000), "2,000 lists", rows=4_000_000, largest=4_000_000, memory=2_048 * MB
    ),
    "lists for want of memory": Case(
        IndexForm(IVFFLAT, True, 494),
        "494 lists (for want of memory; 1,000 would suit)",
        rows=1_000_000,
        largest=1_000_000,
        memory=100 * MB,
    ),
    "neither fits": Case(
        CAREFUL_HALF_GRAPH, "built slowly, partly on disk", rows=1_000_000, largest=1_000_000, memory=16 * MB
    ),
    "rows that want no more care": Case(
        HALF_GRAPH, "with m 16, ef_construction 64; halfvec", rows=CAREFUL_FROM - 1, largest=CAREFUL_FROM - 1
    ),
    "rows that want more care": Case(
        CAREFUL_HALF_GRAPH, f"with {CAREFUL}; halfvec", rows=CAREFUL_FROM, largest=CAREFUL_FROM
    ),
    "rows of all tenants want more care": Case(
        CAREFUL_HALF_GRAPH, f"with {CAREFUL}", rows=CAREFUL_FROM, largest=75_000
    ),
    "more care wants more memory": Case(
        IndexForm(IVFFLAT, True, 500), "it may use 1.4 GB", rows=500_000, largest=500_000, memory=1_400 * MB
    ),
    "more care, asked for": Case(
        CAREFUL_HALF_GRAPH, f"asked for, with {CAREFUL}", rows=CAREFUL_FROM, largest=1, method=HNSW
    ),
    "ivfflat asked for": Case(IndexForm(IVFFLAT, True, 100), "ivfflat was asked for, 100 lists", method=IVFFLAT),
    "few lists": Case(IndexForm(IVFFLAT, True, 1), "1 lists", rows=10, largest=10, method=IVFFLAT),
}


@pytest.mark.parametrize("name", CASES)
def test_the_choice(name: str) -> None:
    case = CASES[name]
    choice = choose(
        IndexTarget(case.table, case.dimensions),
        Volume(case.rows, case.largest),
        Memory(case.memory, "the server"),
        case.agreement,
        method=case.method,
        halfvec=case.halfvec,
    )
    assert choice.form == case.form, choice.reason
    assert case.why in choice.reason


@pytest.mark.parametrize(
    ("dimensions", "method", "halfvec", "memory", "why"),
    [
        (4_001, HNSW, None, 64 * MB, "4,001 dimensions are more than the 4,000 that a vector index takes"),
        (4_001, IVFFLAT, True, 64 * MB, "searches compare all of a tenant's vectors.*--method none"),
        (2_001, AUTO, False, 64 * MB, "more than the 2,000 that an index takes in full.*Leave out --no-halfvec"),
        (2_001, HNSW, False, 64 * MB, "Leave out --no-halfvec"),
        (1_024, IVFFLAT, True, MB, "dimensions need 19.7 MB, it may use 1 MB .the server.*--memory 21MB"),
    ],
)
def test_what_cannot_be_is_refused(
    dimensions: int, method: IndexMethod, halfvec: bool | None, memory: int, why: str
) -> None:
    target, volume = IndexTarget(NODES, dimensions), Volume(50_000, 50_000)
    with pytest.raises(SettingsError, match=why):
        choose(target, volume, Memory(memory, "the server"), 1.0, method=method, halfvec=halfvec)


@pytest.mark.parametrize(
    ("form", "rows_at_build", "rows", "why"),
    [
        (IndexForm(IVFFLAT, True, 100), 100_000, 100_000, None),
        (IndexForm(IVFFLAT, True, 100), 100_000, 399_999, None),
        (IndexForm(IVFFLAT, True, 1), 100, 999, None),
        (IndexForm(IVFFLAT, True, 1), 100, 1_000, "made of 100 rows, now there are 1,000"),
        (IndexForm(IVFFLAT, True, 1), 0, 10, "made of 0 rows"),
        (IndexForm(IVFFLAT, True, 100), 100_000, 401_000, "it has 100 lists, 401 suit"),
        (IndexForm(IVFFLAT, True, 100), None, 401_000, "it has 100 lists, 401 suit"),
        (IndexForm(IVFFLAT, True, 100), 100_000, 24_999, "it has 100 lists, 24 suit"),
        (IndexForm(IVFFLAT, True, 100), 100_000, 25_000, None),
        (FULL_GRAPH, 1, CAREFUL_FROM - 1, None),
        (FULL_GRAPH, 1, CAREFUL_FROM, f"built with m 16, ef_construction 64; {CAREFUL} suit 150,000 rows"),
        (CAREFUL_HALF_GRAPH, 1, 10_000_000, None),
        (CAREFUL_HALF_GRAPH, 1, 1_000, None),
        (IndexForm(HNSW, True, graph=Graph(CAREFUL.m, CAREFUL.ef_construction - 1)), 1, CAREFUL_FROM, "was built with"),
        (IndexForm(HNSW, True, graph=Graph(CAREFUL.m - 1, 500)), 1, CAREFUL_FROM, "was built with m"),
        (IndexForm(HNSW, True, graph=Graph(100, 500)), 1, CAREFUL_FROM, None),
    ],
)
def test_when_an_index_is_stale(form: IndexForm, rows_at_build: int | None, rows: int, why: str | None) -> None:
    found = is_stale(form, rows_at_build, rows)
    assert found is None if why is None else why in (found or "")
