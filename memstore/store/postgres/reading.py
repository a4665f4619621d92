"""The statements that read."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..results import Order
from .conditions import where
from .rows import TABLE, columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..cursors import Cursor
    from ..validation import Scope

HEALTH = f"""
    SELECT (SELECT max(version_num) FROM memstore.alembic_version) AS revision,
           (SELECT value::integer FROM memstore.settings WHERE key = 'embedding_dim') AS embedding_dim,
           to_regproc('memstore.hybrid_search') IS NOT NULL AS can_search,
           (SELECT count(*) FROM {TABLE} AS m WHERE {{where}}) AS memories
"""
IS_MIRRORED = """
    SELECT count(*) = cardinality($1::text[]) FROM pg_trigger
    WHERE tgrelid = 'memstore.memory_nodes'::regclass AND tgname = ANY ($1) AND tgenabled <> 'D'
"""
WAITING = """
    SELECT node_id FROM memstore.mirror_outbox
    WHERE memstore.mirror_shard(tenant_id) = memstore.mirror_shard($1) AND tenant_id = $1
    UNION
    SELECT node_id FROM memstore.mirror_rejections WHERE tenant_id = $1 LIMIT $2
"""
EMBEDDING_DIM = "SELECT value::integer FROM memstore.settings WHERE key = 'embedding_dim'"


def get_many(
    scope: Scope, ids: Sequence[str], conditions: Mapping[str, Any], *, with_embedding: bool
) -> tuple[str, list[Any]]:
    """Return the SELECT of memories by their ids, with its parameters."""
    clauses, arguments = where(scope, conditions)
    listed = columns(with_embedding=with_embedding)
    return f"SELECT {listed} FROM {TABLE} AS m WHERE {clauses} AND m.id = ANY (${len(arguments) + 1}::text[])", [
        *arguments,
        ids,
    ]


def get(scope: Scope, memory_id: str, conditions: Mapping[str, Any], *, with_embedding: bool) -> tuple[str, list[Any]]:
    """Return the SELECT of a memory by its id, with its parameters."""
    clauses, arguments = where(scope, conditions)
    listed = columns(with_embedding=with_embedding)
    return f"SELECT {listed} FROM {TABLE} AS m WHERE {clauses} AND m.id = ${len(arguments) + 1}", [
        *arguments,
        memory_id,
    ]


def count(scope: Scope, conditions: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the count of memories, with its parameters."""
    clauses, arguments = where(scope, conditions)
    return f"SELECT count(*) FROM {TABLE} AS m WHERE {clauses}", arguments


def page(
    scope: Scope,
    conditions: Mapping[str, Any],
    *,
    limit: int,
    after: Cursor | None,
    order: Order,
    with_embedding: bool,
) -> tuple[str, list[Any]]:
    """Return the SELECT of a page and one memory more, with its parameters."""
    clauses, arguments = where(scope, conditions)
    if after is not None:
        clauses += _after(order, len(arguments) + 1)
        arguments += [after.created_at, after.id]
    direction = "DESC" if order is Order.NEWEST else "ASC"
    statement = f"""
        SELECT {columns(with_embedding=with_embedding)} FROM {TABLE} AS m WHERE {clauses}
        ORDER BY m.created_at {direction}, m.id COLLATE "C" LIMIT ${len(arguments) + 1}
    """
    return statement, [*arguments, limit + 1]


@lru_cache(maxsize=100)
def _after(order: Order, n: int) -> str:
    compared = "<" if order is Order.NEWEST else ">"
    # The first condition alone is one that an index on created_at serves.
    return (
        f" AND m.created_at {compared}= ${n}::timestamptz"
        f' AND (m.created_at {compared} ${n}::timestamptz OR m.id COLLATE "C" > ${n + 1}::text)'
    )
