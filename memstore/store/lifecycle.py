"""How present a memory is and when it expires: the numbers that the database works out, without asking it.

`decay_score` is `memstore.decay_score` and `expiry` the generated column of the same name; the view `active_memories`
and `decay_score_of` choose the same rate of decay. Promotion between tiers is for applications to decide.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import exp, isnan, log
from typing import TYPE_CHECKING

from ..models import DecayTier, NeuroType

if TYPE_CHECKING:
    from ..models import MemoryNode

DECAY_PER_DAY = {NeuroType.EPISODIC: 0.12, NeuroType.SEMANTIC: 0.04, NeuroType.PROCEDURAL: 0.02}
"""The rate at which a memory decays when none is set, per day."""

LIFETIME = {DecayTier.SHORT: timedelta(days=7), DecayTier.MEDIUM: timedelta(days=30), DecayTier.LONG: timedelta(180)}
"""How long a memory of a tier lives from its creation; a pinned one lives for ever."""

_DAY = timedelta(days=1)


def decay_score(
    created_at: datetime,
    decay_lambda: float | None = None,
    importance: int | None = None,
    access_count: int | None = None,
    at: datetime | None = None,
) -> float:
    """Return how present a memory is, from 0 to 1.

        importance / 10 * exp(-decay_lambda * age / (1 + ln(1 + access_count)))

    The forgetting curve exp(-t / S) of H. Ebbinghaus (Über das Gedächtnis, 1885), where each access strengthens S, as
    in MemoryBank (Zhong et al. 2023, arXiv:2305.10250), here with its logarithm: no number of accesses stops the decay.

    Args:
        created_at: a time in the future counts as an age of 0.
        decay_lambda: per day, brought within 0 and 100; 0.12 when None.
        importance: brought within 0 and 10; 5 when None.
        access_count: brought to at least 0; 0 when None.
        at: the moment that it is asked for; now when None.

    Raises:
        TypeError: one time has a zone and the other has none.
    """
    age = min(max(((at or datetime.now(UTC)) - created_at) / _DAY, 0.0), 1e9)
    rate = DECAY_PER_DAY[NeuroType.EPISODIC] if decay_lambda is None else decay_lambda
    rate = 100.0 if isnan(rate) else min(max(rate, 0.0), 100.0)  # NaN as in PostgreSQL, the largest number
    strength = 1 + log(1 + max(access_count or 0, 0))
    return min(max(5 if importance is None else importance, 0), 10) / 10 * exp(-min(rate * age / strength, 700.0))


def decay_score_of(memory: MemoryNode, at: datetime | None = None) -> float:
    """Return the decay score of a memory, as the view `active_memories` shows it."""
    rate = DECAY_PER_DAY[memory.neuro_type] if memory.decay_lambda is None else memory.decay_lambda
    return decay_score(memory.created_at, rate, memory.importance, memory.access_count, at)


def expiry(created_at: datetime, decay_tier: DecayTier | None, expires_at: datetime | None) -> datetime | None:
    """Return when a memory really expires, None for never.

    A pinned one never does. Else the time that the application asked for wins, and then the lifetime of the tier.
    """
    if decay_tier is DecayTier.PINNED:
        return None
    if expires_at is not None or decay_tier is None:
        return expires_at
    return created_at + LIFETIME[decay_tier]


def is_live(memory: MemoryNode, at: datetime | None = None) -> bool:
    """Tell whether a memory is neither deleted nor expired."""
    return memory.deleted_at is None and (memory.expiry is None or memory.expiry > (at or datetime.now(UTC)))
