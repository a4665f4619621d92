"""Many memories at once: all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results import Added
from . import writing
from .rows import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from ..validation import Scope

    Row = Mapping[str, Any]

BATCH = 1_000
_IDS_BY_KEY = f"""
    SELECT n.agent_id, n.user_id, n.key, m.id
    FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS n (agent_id, user_id, key)
    JOIN {TABLE} AS m ON m.tenant_id = $1 AND m.key = n.key AND m.deleted_at IS NULL
    AND m.agent_id IS NOT DISTINCT FROM n.agent_id AND m.user_id IS NOT DISTINCT FROM n.user_id
"""
_KEY = ("agent_id", "user_id", "key")


async def add_many(
    connection: asyncpg.Connection, schema: str, scope: Scope, rows: Sequence[Row], *, skip_existing: bool
) -> Added:
    """Insert checked memories in the transaction of the connection; `schema` is where vectors live."""
    statement = writing.insert_many(schema, skip_existing=skip_existing)
    inserted: set[str] = set()
    pending = list(rows)
    while pending:
        new, pending = _first_of_each(pending) if skip_existing else (pending, [])
        new.sort(key=lambda row: row["id"])  # in one order, so that no two of these wait for each other
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            records = await connection.fetch(statement, scope.tenant_id, *writing.arrays_of(batch))
            inserted.update(record["id"] for record in records)
        # Whoever stood behind a row that was passed over itself is not passed over for it.
        taken = {_key(row) for row in new if row["id"] in inserted and row["key"] is not None}
        pending = [row for row in pending if row["id"] not in inserted and _key(row) not in taken]
    named: dict[Any, str] = await _ids_by_key(connection, scope, [row for row in rows if row["id"] not in inserted])
    ids: list[Any] = [row["id"] if row["id"] in inserted else named.get(_key(row), row["id"]) for row in rows]
    return Added(tuple(ids), len(inserted), len(rows) - len(inserted))


def _first_of_each(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Part rows into those whose id and key no earlier one of them has, and the rest."""
    ids: set[str] = set()
    keys: set[tuple[Any, ...]] = set()
    first, rest = [], []
    for row in rows:
        if row["id"] in ids or (row["key"] is not None and _key(row) in keys):
            rest.append(row)
            continue
        first.append(row)
        ids.add(row["id"])
        keys.add(_key(row))
    return first, rest


async def _ids_by_key(connection: asyncpg.Connection, scope: Scope, passed_over: list[Row]) -> dict[Any, str]:
    """Return the ids of the memories that have the keys of those passed over: theirs belong to no memory."""
    keys = list({_key(row) for row in passed_over if row["key"] is not None})
    if not keys:
        return {}
    records = await connection.fetch(_IDS_BY_KEY, scope.tenant_id, *map(list, zip(*keys, strict=True)))
    return {(record["agent_id"], record["user_id"], record["key"]): record["id"] for record in records}


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)
