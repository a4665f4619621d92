"""What is to be done about the indexes of one target: decided from what is there and what is right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from .decision import is_stale
from .targets import IndexForm, IndexMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .decision import Choice, Volume
    from .found import FoundIndex


class IndexAction(StrEnum):
    """What was done about an index; `none`: there is none, and there should be none."""

    BUILT = "built"
    REBUILT = "rebuilt"
    KEPT = "kept"
    DROPPED = "dropped"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What is to be done: one index at most is built, built anew or kept, and after that others are dropped.

    clean: names that a killed run left not valid, which nothing can use; they go first.
    drop: names of indexes that go last, so that searches have one all the time.
    """

    action: IndexAction
    form: IndexForm | None
    reason: str
    clean: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def plan_build(
    found: Sequence[FoundIndex],
    choice: Choice,
    volume: Volume,
    *,
    method: IndexMethod = IndexMethod.AUTO,
    halfvec: bool | None = None,
) -> IndexPlan:
    """Plan what gives a target the index that was chosen.

    What `auto` chooses never costs a search its index: one that is there stays although there are few rows now, in
    either precision unless one was asked for, and as HNSW also where a new one would be IVFFlat. Lists that are stale
    are made anew. A graph that is built with less care than its rows call for stays: it works, and another takes long,
    so that whoever is in charge says when.
    """
    usable = _usable(found)
    automatic = method is IndexMethod.AUTO
    if choice.form is None:
        kept = usable[0] if automatic and usable else None
    else:
        kept = next((each for each in usable if _serves(each[1], choice.form, automatic, halfvec)), None)
    if kept is not None:
        index, form = kept
        rest = _rest(found, [index.name])
        stale = is_stale(form, index.rows_at_build, volume.rows)
        if stale is None or choice.form is None:
            return IndexPlan(IndexAction.KEPT, form, "there already", _invalid(found), rest)
        if form.method is IndexMethod.HNSW:
            why = f"there already, but {stale}. Type: memstore index rebuild"
            return IndexPlan(IndexAction.KEPT, form, why, _invalid(found), rest)
        again = IndexForm(form.method, form.halfvec, choice.form.lists)
        return IndexPlan(IndexAction.REBUILT, again, stale, _invalid(found), rest)
    if choice.form is None:
        return IndexPlan(IndexAction.NONE, None, choice.reason, _invalid(found), _rest(found, ()))
    return _made(found, choice.form, choice.reason)


def plan_rebuild(found: Sequence[FoundIndex], choice: Choice) -> IndexPlan:
    """Plan what gives a target that has an index, valid or not, the one that was chosen, made anew."""
    if not any(each.form is not None for each in found):
        nothing = "there is no index to build anew. Type: memstore index build"
        return IndexPlan(IndexAction.NONE, None, nothing, _invalid(found), _rest(found, ()))
    if choice.form is None:
        return IndexPlan(IndexAction.NONE, None, choice.reason, _invalid(found), _rest(found, ()))
    return _made(found, choice.form, choice.reason)


def serving(found: Sequence[FoundIndex]) -> IndexForm | None:
    """Return the form of the index that serves searches best; None where there is none that is valid."""
    usable = _usable(found)
    return usable[0][1] if usable else None


def worthiest(found: Sequence[FoundIndex]) -> IndexForm | None:
    """Return the form of the index that serves searches best, or did before it became invalid; None without any."""
    return serving(found) or next((each.form for each in found if each.form is not None), None)


def _made(found: Sequence[FoundIndex], form: IndexForm, reason: str) -> IndexPlan:
    same = [each for each in found if each.form is not None and _same_kind(each.form, form)]
    # What has the name already, and is valid, is exchanged: it may not even be by the cosine.
    action = IndexAction.REBUILT if any(each.valid for each in same) else IndexAction.BUILT
    return IndexPlan(action, form, reason, _invalid(found), _rest(found, [each.name for each in same]))


def _usable(found: Sequence[FoundIndex]) -> list[tuple[FoundIndex, IndexForm]]:
    """Return what searches can use, the best first: HNSW before IVFFlat, the smaller before the larger."""
    usable = [(each, each.form) for each in found if each.form is not None and each.valid and each.by_cosine]
    return sorted(usable, key=lambda each: (each[1].method is not IndexMethod.HNSW, not each[1].halfvec))


def _invalid(found: Sequence[FoundIndex]) -> tuple[str, ...]:
    return tuple(each.name for each in found if not each.valid)


def _rest(found: Sequence[FoundIndex], kept: Sequence[str]) -> tuple[str, ...]:
    return tuple(each.name for each in found if each.valid and each.name not in kept)


def _serves(form: IndexForm, chosen: IndexForm, automatic: bool, halfvec: bool | None) -> bool:
    if halfvec is not None and form.halfvec is not halfvec:
        return False
    return form.method is chosen.method or (automatic and form.method is IndexMethod.HNSW)


def _same_kind(one: IndexForm, other: IndexForm) -> bool:
    return (one.method, one.halfvec) == (other.method, other.halfvec)
