"""What a search, a page or a change is asked with."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import SettingsError, VectorError
from ...models import SearchType
from ..checks import checked_array
from ..results import Order, SearchPlan
from .conditions import checked_filters
from .values import INT4, UnfitError, number, shown, whole, word

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..filters import Filters
    from ..results import Weights
    from .values import Check

MAX_LIMIT = 1_000
MAX_TEXT = 100_000
"""As many characters of a memory are indexed."""
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for, checked.

    vector: shape (D,), float32.
    text: without characters that PostgreSQL cannot store, which separate words.
    vector_weight, text_weight: from 0 to 1, the larger is 1.
    conditions: as `checked_filters` returns them.
    """

    vector: NDArray[Any] | None
    text: str | None
    limit: int
    min_score: float | None
    vector_weight: float
    text_weight: float
    plan: SearchPlan
    conditions: dict[str, Any]

    @property
    def kind(self) -> SearchType:
        """What it goes by."""
        if self.text is None:
            return SearchType.VECTOR
        return SearchType.TEXT if self.vector is None else SearchType.HYBRID


def checked_question(
    vector: ArrayLike | None,
    text: str | None,
    limit: int,
    min_score: float | None,
    filters: Filters,
    weights: Weights,
    plan: SearchPlan,
) -> Question:
    """Return what is searched for.

    An empty vector beside a text counts as none.

    Raises:
        SettingsError: neither vector nor text was given, or something is out of range.
        VectorError: the vector has another shape, is not finite, or has no cosine.
    """
    if vector is None and text is None:
        raise SettingsError("the search has neither vector nor text. Give one, or both")
    if text is not None and not isinstance(text, str):
        raise SettingsError(f"the text is of type {type(text).__name__}. Needed: text")
    if text is not None and len(text) > MAX_TEXT:
        raise SettingsError(f"the text has {len(text):,} characters. Needed: at most {MAX_TEXT:,}")
    asked = None if vector is None or (text is not None and _is_empty(vector)) else checked_array(vector)
    vector_weight, text_weight = _checked_weights(weights)
    return Question(
        vector=asked,
        text=None if text is None else _UNSTORABLE.sub(" ", text),
        limit=checked_limit(limit),
        min_score=None if min_score is None else _checked("min_score", min_score, number(-1, 1)),
        vector_weight=vector_weight,
        text_weight=text_weight,
        plan=_checked("the plan", plan, word(SearchPlan)),
        conditions=checked_filters(filters),
    )


def checked_limit(limit: int) -> int:
    """Return how many are wanted at most, 1 to 1,000.

    Raises:
        SettingsError: it is out of range.
    """
    checked: int = _checked("the limit", limit, whole(1, MAX_LIMIT))
    return checked


def checked_order(order: Order) -> Order:
    """Return an order, which may be given as plain text.

    Raises:
        SettingsError: there is no such order.
    """
    checked: Order = _checked("the order", order, word(Order))
    return checked


def checked_version(version: int) -> int:
    """Return the version that a memory is to be at.

    Raises:
        SettingsError: it is out of range.
    """
    checked: int = _checked("the version", version, whole(1, INT4))
    return checked


def _checked(what: str, value: Any, check: Check) -> Any:
    try:
        return check(value)
    except UnfitError as error:
        raise SettingsError(f"{what} is {error.found}. Needed: {error.needed}") from error


def _checked_weights(weights: Weights) -> tuple[float, float]:
    both = (weights.vector, weights.text)
    positive = number(0, math.nextafter(math.inf, 0))
    vector, text = (_checked("a weight", each, positive) for each in both)
    largest = max(vector, text)
    if not largest:
        raise SettingsError(f"the weights are {shown(both)}. Needed: at least one above zero")
    return vector / largest, text / largest  # the sum of two large ones would be infinite


def _is_empty(vector: ArrayLike) -> bool:
    try:
        return len(vector) == 0  # type: ignore[arg-type]
    except TypeError as error:
        raise VectorError(f"the vector is {shown(vector)}. Needed: shape (D,) or (1, D), one vector") from error
