"""How searches went, for some of them: rows of `memstore.search_metrics`, written after the answer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..background import Background
    from ..validation import Question, Scope
    from .connections import Connections

_INSERT = """
    INSERT INTO memstore.search_metrics (tenant_id, search_type, result_count, execution_time_ms, metadata)
    VALUES ($1, $2, $3, $4, $5)
"""


class Metrics:
    """The metrics of a store; `share` is which part of its searches is recorded, 0 to 1."""

    def __init__(self, connections: Connections, background: Background, share: float) -> None:
        self._connections = connections
        self._background = background
        self._share = share

    def searched(self, scope: Scope, question: Question, results: int, seconds: float) -> None:
        """Record a search, or not: what was asked for in which way, never what."""
        if random.random() >= self._share:  # noqa: S311 -- a sample
            return
        details = {
            "plan": question.plan.value,
            "limit": question.limit,
            "filters": sorted(question.conditions),
            "of_user": scope.user_id is not None,
        }
        row = (scope.tenant_id, question.kind.value, results, round(seconds * 1_000, 3), details)
        insert = self._connections.run(scope.tenant_id, lambda connection: connection.execute(_INSERT, *row))
        self._background.start("recording a search", insert)
