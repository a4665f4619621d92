"""The statements that write: one for each operation, each telling in its answer why it changed nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .conditions import NOT_DELETED, NOT_EXPIRED
from .rows import COLUMNS, TABLE, WRITTEN, parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..validation import Scope

_LISTED = ", ".join(WRITTEN)


def _values(names: Sequence[str]) -> str:
    return ", ".join("coalesce(n.created_at, now())" if name == "created_at" else f"n.{name}" for name in names)


_PARAMETERS = ", ".join(
    f"coalesce(${n}, now())" if name == "created_at" else f"${n}" for n, name in enumerate(WRITTEN, start=2)
)
INSERT = f"INSERT INTO {TABLE} AS m (tenant_id, {_LISTED}) VALUES ($1, {_PARAMETERS}) RETURNING {COLUMNS}"

RECORD_ACCESS = f"""
    WITH met AS (
        SELECT id FROM {TABLE} AS m WHERE {{scope}} AND id = ANY ({{ids}}::text[]) AND {NOT_DELETED} AND {NOT_EXPIRED}
        ORDER BY id FOR NO KEY UPDATE  -- in one order, so that no two of these wait for each other
    )
    UPDATE {TABLE} AS m SET access_count = least(access_count, 2147483646) + 1, last_accessed = now()
    FROM met WHERE m.tenant_id = $1 AND m.id = met.id
"""


@lru_cache(maxsize=100)
def insert_many(schema: str, *, skip_existing: bool) -> str:
    """Return the INSERT of rows that come as an array for each column; `schema` is where vectors live."""
    quoted = '"' + schema.replace('"', '""') + '"'
    types = [f"{quoted}.vector" if kind == "vector" else kind for kind in WRITTEN.values()]
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, start=2))
    return f"""
        INSERT INTO {TABLE} AS m (tenant_id, {_LISTED})
        SELECT $1, {_values(tuple(WRITTEN))} FROM unnest({arrays}) AS n ({_LISTED})
        {"ON CONFLICT DO NOTHING" if skip_existing else ""} RETURNING m.id
    """


def arrays_of(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Return the values of rows as an array for each column."""
    return [[parameter(name, row[name]) for row in rows] for name in WRITTEN]


# Locking tells the version that is there by now, also where another transaction has changed it since this began.
_FOUND = f"""
    WITH found AS MATERIALIZED (
        SELECT version, deleted_at FROM {TABLE} AS m WHERE {{scope}} AND m.id = {{id}} FOR NO KEY UPDATE
    )"""


@lru_cache(maxsize=1_000)
def update(of_user: bool, names: tuple[str, ...]) -> str:
    """Return the UPDATE of these columns of a memory: $1 tenant, $2 user if `of_user`, then id, version and values."""
    first = 2 + of_user
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(names, start=first + 2))
    return f"""
        {_found(of_user)}, changed AS (
            UPDATE {TABLE} AS m SET {sets or "tenant_id = m.tenant_id"}
            WHERE m.tenant_id = $1 AND m.id = ${first} AND (SELECT version FROM found) = ${first + 1}
            RETURNING {COLUMNS}
        )
        SELECT m.*, found.version AS found_version FROM found LEFT JOIN changed AS m ON true
    """


@lru_cache(maxsize=4)
def delete(of_user: bool, hard: bool) -> str:
    """Return the statement that deletes a memory: $1 tenant, $2 user if `of_user`, then id, version or null."""
    first = 2 + of_user
    is_as_expected = f"(SELECT version = coalesce(${first + 1}::integer, version) FROM found)"
    due = f"m.tenant_id = $1 AND m.id = ${first} AND {is_as_expected}"
    gone = (
        f"DELETE FROM {TABLE} AS m WHERE {due}"
        if hard
        else f"UPDATE {TABLE} AS m SET deleted_at = now() WHERE {due} AND (SELECT deleted_at FROM found) IS NULL"
    )
    return f"""
        {_found(of_user)}, gone AS ({gone} RETURNING 1)
        SELECT version, deleted_at IS NOT NULL AS was_deleted, EXISTS (SELECT FROM gone) AS is_gone FROM found
    """


@lru_cache(maxsize=2)
def record_access(of_user: bool) -> str:
    """Return the statement that counts an access: $1 tenant, $2 user if `of_user`, then ids."""
    return RECORD_ACCESS.format(scope=_scope(of_user), ids=f"${2 + of_user}")


def _found(of_user: bool) -> str:
    return _FOUND.format(scope=_scope(of_user), id=f"${2 + of_user}")


def _scope(of_user: bool) -> str:
    return "m.tenant_id = $1 AND m.user_id = $2" if of_user else "m.tenant_id = $1"


def of_scope(scope: Scope) -> list[Any]:
    """Return the parameters of a scope: $1, and $2 where it is of a user."""
    return [scope.tenant_id] if scope.user_id is None else [scope.tenant_id, scope.user_id]
