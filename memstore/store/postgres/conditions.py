"""Which rows are meant: a scope and filters as SQL whose text depends on which there are, and never on their values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..validation import Scope

_CLAUSES = {
    "conversation_id": "m.conversation_id = ANY ({0}::text[])",
    "session_id": "m.session_id = ANY ({0}::uuid[])",
    "agent_id": "m.agent_id = ANY ({0}::uuid[])",
    "user_id": "m.user_id = ANY ({0}::uuid[])",
    "source": "m.source = ANY ({0}::text[])",
    "memory_type": "m.memory_type = ANY ({0}::text[])",
    "neuro_type": "m.neuro_type = ANY ({0}::text[])",
    "decay_tier": "m.decay_tier = ANY ({0}::text[])",
    "cluster_id": "m.cluster_id = ANY ({0}::integer[])",
    "tags_any": """EXISTS (
        SELECT FROM jsonb_each(m.tags) AS tag WHERE jsonb_typeof(tag.value) = 'array' AND tag.value ?| {0}::text[])""",
    "tags_all": """NOT EXISTS (
        SELECT FROM unnest({0}::text[]) AS wanted WHERE NOT EXISTS (
            SELECT FROM jsonb_each(m.tags) AS tag WHERE jsonb_typeof(tag.value) = 'array' AND tag.value ? wanted))""",
    "created_from": "m.created_at >= {0}::timestamptz",
    "created_to": "m.created_at < {0}::timestamptz",
    "importance_min": "m.importance >= {0}::integer",
    "importance_max": "m.importance <= {0}::integer",
    "metadata": "m.metadata @> {0}::jsonb",
}
NOT_DELETED = "m.deleted_at IS NULL"
NOT_EXPIRED = "(m.expiry IS NULL OR m.expiry > now())"


def where(scope: Scope, conditions: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the WHERE of a scope and of checked filters, of a table called m, and its parameters, from $1 on."""
    arguments: list[Any] = [scope.tenant_id]
    if scope.user_id is not None:
        arguments.append(scope.user_id)
    arguments += [value for name, value in conditions.items() if name in _CLAUSES]
    return _where(scope.user_id is not None, tuple(conditions)), arguments


@lru_cache(maxsize=1_000)
def _where(of_user: bool, names: tuple[str, ...]) -> str:
    clauses = ["m.tenant_id = $1"]
    if of_user:
        clauses.append("m.user_id = $2")
    for name in names:
        if name in _CLAUSES:
            clauses.append(_CLAUSES[name].format(f"${len(clauses) + 1}"))
    if "include_deleted" not in names:
        clauses.append(NOT_DELETED)
    if "include_expired" not in names:
        clauses.append(NOT_EXPIRED)
    return " AND ".join(clauses)


def hidden(*, include_deleted: bool, include_expired: bool) -> dict[str, bool]:
    """Return, as checked filters, which of the memories that are not live are to be found all the same."""
    flags = {"include_deleted": include_deleted, "include_expired": include_expired}
    return {name: True for name, value in flags.items() if value}
