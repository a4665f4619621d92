from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from memstore.store.indexes import Choice, IndexAction, IndexedTable, IndexForm, IndexMethod, IndexTarget, Volume
from memstore.store.indexes.found import FoundIndex
from memstore.store.indexes.graph import CAREFUL, CAREFUL_FROM
from memstore.store.indexes.plan import IndexPlan, plan_build, plan_rebuild

AUTO, HNSW, IVFFLAT, NONE = IndexMethod.AUTO, IndexMethod.HNSW, IndexMethod.IVFFLAT, IndexMethod.NONE
GRAPH, HALF_GRAPH = IndexForm(HNSW, False), IndexForm(HNSW, True)
CAREFUL_GRAPH = IndexForm(HNSW, False, graph=CAREFUL)
LISTS, HALF_LISTS = IndexForm(IVFFLAT, False, 10), IndexForm(IVFFLAT, True, 10)
TARGET = IndexTarget(IndexedTable.MEMORY_NODES, 4)
BUILT, REBUILT, KEPT = IndexAction.BUILT, IndexAction.REBUILT, IndexAction.KEPT


def there(
    form: IndexForm, *, beside: str = "", valid: bool = True, by_cosine: bool = True, rows: int = 10_000
) -> FoundIndex:
    return FoundIndex(
        name=TARGET.name(form) + beside,
        table=TARGET.table,
        method=form.method.value,
        halfvec=form.halfvec,
        form=None if beside else form,
        leftover=bool(beside),
        valid=valid,
        being_built=False,
        by_cosine=by_cosine,
        size=8192,
        scans=0,
        lists=form.lists,
        graph=form.graph if form.method is HNSW else None,
        rows_at_build=rows,
        built_at=None,
    )


@dataclass(frozen=True)
class Case:
    """What is there, what was chosen, and what is to be done: to which form, and what is cleaned and dropped."""

    found: list[FoundIndex]
    chosen: IndexForm | None
    action: IndexAction
    form: IndexForm | None
    clean: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    method: IndexMethod = AUTO
    halfvec: bool | None = None


def name(form: IndexForm, beside: str = "") -> str:
    return TARGET.name(form) + beside


BUILDS = {
    "nothing there": Case([], GRAPH, BUILT, GRAPH),
    "nothing there, nothing wanted": Case([], None, IndexAction.NONE, None),
    "there already": Case([there(GRAPH)], GRAPH, KEPT, GRAPH),
    "there, in the other precision": Case([there(GRAPH)], HALF_GRAPH, KEPT, GRAPH),
    "there, in another precision than asked for": Case(
        [there(GRAPH)], HALF_GRAPH, BUILT, HALF_GRAPH, drop=[name(GRAPH)], halfvec=True
    ),
    "few rows by now": Case([there(GRAPH)], None, KEPT, GRAPH),
    "a graph is not given up for lists": Case([there(GRAPH)], LISTS, KEPT, GRAPH),
    "lists are given up for a graph": Case([there(LISTS)], GRAPH, BUILT, GRAPH, drop=[name(LISTS)]),
    "lists asked for": Case([there(GRAPH)], LISTS, BUILT, LISTS, drop=[name(GRAPH)], method=IVFFLAT),
    "none asked for": Case(
        [there(GRAPH), there(LISTS, valid=False)], None, IndexAction.NONE, None, [name(LISTS)], [name(GRAPH)], NONE
    ),
    "stale lists": Case([there(LISTS, rows=1_000)], LISTS, REBUILT, LISTS),
    "stale lists asked for": Case([there(LISTS, rows=1_000)], LISTS, REBUILT, LISTS, method=IVFFLAT),
    "stale lists, but few rows": Case([there(LISTS, rows=1_000)], None, KEPT, LISTS),
    "killed while it was built": Case([there(GRAPH, valid=False)], GRAPH, BUILT, GRAPH, [name(GRAPH)]),
    "killed before the old one was dropped": Case(
        [there(GRAPH), there(LISTS)], LISTS, KEPT, LISTS, drop=[name(GRAPH)], method=IVFFLAT
    ),
    "two, and neither asked for": Case([there(LISTS), there(GRAPH)], GRAPH, KEPT, GRAPH, drop=[name(LISTS)]),
    "leftovers beside": Case(
        [there(GRAPH), there(GRAPH, beside="_new"), there(GRAPH, beside="_ccnew", valid=False)],
        GRAPH,
        KEPT,
        GRAPH,
        [name(GRAPH, "_ccnew")],
        [name(GRAPH, "_new")],
    ),
    "one of the name that is not by the cosine": Case([there(GRAPH, by_cosine=False)], GRAPH, REBUILT, GRAPH),
    "one that is not by the cosine": Case([there(LISTS, by_cosine=False)], GRAPH, BUILT, GRAPH, drop=[name(LISTS)]),
}

REBUILDS = {
    "nothing there": Case([], GRAPH, IndexAction.NONE, None),
    "one": Case([there(GRAPH)], GRAPH, REBUILT, GRAPH),
    "killed while it was built": Case([there(GRAPH, valid=False)], GRAPH, BUILT, GRAPH, [name(GRAPH)]),
    "another form": Case([there(GRAPH)], HALF_LISTS, BUILT, HALF_LISTS, drop=[name(GRAPH)]),
    "none asked for": Case([there(GRAPH)], None, IndexAction.NONE, None, drop=[name(GRAPH)]),
    "only leftovers": Case(
        [there(GRAPH, beside="_old"), there(GRAPH, beside="_new", valid=False)],
        GRAPH,
        IndexAction.NONE,
        None,
        [name(GRAPH, "_new")],
        [name(GRAPH, "_old")],
    ),
}


@pytest.mark.parametrize("what", BUILDS)
def test_a_build(what: str) -> None:
    case = BUILDS[what]
    choice, volume = Choice(case.chosen, "why"), Volume(10_000, 10_000)
    check(case, plan_build(case.found, choice, volume, method=case.method, halfvec=case.halfvec))


@pytest.mark.parametrize(
    ("graph", "rows", "chosen", "why"),
    [
        (GRAPH, CAREFUL_FROM - 1, GRAPH, "there already"),
        (
            GRAPH,
            CAREFUL_FROM,
            CAREFUL_GRAPH,
            "there already, but its graph was built with m 16.*memstore index rebuild",
        ),
        (GRAPH, CAREFUL_FROM, LISTS, "there already, but its graph"),
        (GRAPH, CAREFUL_FROM, None, "there already"),
        (CAREFUL_GRAPH, CAREFUL_FROM, CAREFUL_GRAPH, "there already"),
        (CAREFUL_GRAPH, 10_000, GRAPH, "there already"),
    ],
)
def test_a_graph_stays_as_careful_as_it_is(graph: IndexForm, rows: int, chosen: IndexForm | None, why: str) -> None:
    """It works, and another takes long: whoever is in charge says when."""
    plan = plan_build([there(graph, rows=rows)], Choice(chosen, "why"), Volume(rows, rows))
    assert (plan.action, plan.form) == (KEPT, graph)
    assert re.fullmatch(f"{why}.*" if "but" in why else why, plan.reason)


@pytest.mark.parametrize("what", REBUILDS)
def test_a_rebuild(what: str) -> None:
    case = REBUILDS[what]
    check(case, plan_rebuild(case.found, Choice(case.chosen, "why")))


def check(case: Case, plan: IndexPlan) -> None:
    assert (plan.action, plan.form) == (case.action, case.form)
    assert (sorted(plan.clean), sorted(plan.drop)) == (sorted(case.clean), sorted(case.drop))
    assert plan.reason
