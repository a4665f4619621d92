"""The scope and the filters of a search, as far as a collection has the fields for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .expressions import Conditions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..store.validation import Scope
    from .fields import CollectionSpec

_ONE_OF = ("conversation_id", "session_id", "user_id", "memory_type", "neuro_type", "decay_tier")
_RANGES = ("created_from", "created_to", "importance_min", "importance_max")
_FLAGS = ("include_deleted", "include_expired")
EXPRESSIBLE = frozenset((*_ONE_OF, *_RANGES, *_FLAGS))
"""The filters that a collection can be asked for; the others are asked of PostgreSQL."""


def conditions_of(spec: CollectionSpec, scope: Scope, filters: Mapping[str, Any], now: float) -> Conditions:
    """Return what a search may find: of this tenant, always; of this user, if there is one; and as checked filters say.

    Moments are whole seconds there: within a second more is let in than is meant, and PostgreSQL looks again.
    """
    found = Conditions(spec).equals("org_id", str(scope.tenant_id))
    if scope.user_id is not None:
        found.equals("user_id", str(scope.user_id))
    if not filters.get("include_deleted"):
        found.equals("is_deleted", False)
    if not filters.get("include_expired"):
        found.never_or_from("expires_at", math.floor(now))
    for name in _ONE_OF:
        if name in filters:
            found.one_of(name, [str(each) for each in filters[name]])
    if "created_from" in filters:
        found.at_least("created_at", math.floor(filters["created_from"].timestamp()))
    if "created_to" in filters:
        # The first second of 1970 is kept as the next: 0 is never.
        found.at_most("created_at", math.floor(filters["created_to"].timestamp()) or 1)
    if "importance_min" in filters:
        found.at_least("importance", filters["importance_min"])
    if "importance_max" in filters:
        found.at_most("importance", filters["importance_max"])
    return found
