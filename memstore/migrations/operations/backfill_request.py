"""What a backfill is asked to do, and the statements that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..sql_text import escaped, quoted, quoted_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .work import Work

_KEYS = """
    SELECT i.indisprimary AS is_primary, k.names, k.types, k.are_not_null
    FROM pg_index AS i CROSS JOIN LATERAL (
        SELECT array_agg(a.attname::text ORDER BY position) AS names,
               array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY position) AS types,
               bool_and(a.attnotnull) AS are_not_null
        FROM unnest(i.indkey) WITH ORDINALITY AS u (attnum, position)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
        WHERE position <= i.indnkeyatts
    ) AS k
    WHERE i.indrelid = to_regclass(:table) AND i.indisunique AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL
    ORDER BY i.indisprimary DESC, i.indexrelid
"""


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """Which rows of a table get which values: `assignments` and `where` are SQL."""

    table: str
    schema: str | None
    assignments: str
    where: str

    @property
    def table_sql(self) -> str:
        """The table as SQL takes it."""
        return quoted_table(self.schema, self.table)

    @property
    def rows(self) -> str:
        """What follows SELECT for the rows that are still to be done, from FROM on."""
        return f"FROM {self.table_sql} WHERE ({self.where})"


@dataclass(frozen=True, slots=True)
class Key:
    """The columns that a table is walked through by, and their types in SQL."""

    names: tuple[str, ...]
    types: tuple[str, ...]


def assignments_sql(assignments: str | Mapping[str, str]) -> str:
    """Return what stands after SET."""
    if isinstance(assignments, str):
        return assignments
    return ", ".join(f"{quoted(column)} = {expression}" for column, expression in assignments.items())


def find_key(work: Work, request: BackfillRequest, asked: Sequence[str] | None) -> Key:
    """Return the primary key of the table, or the one that is asked for.

    Raises:
        MigrationError: the table has no primary key, or what is asked for does not tell its rows apart.
    """
    for row in work.execute(_KEYS, {"table": request.table_sql}):
        if row.is_primary if asked is None else row.are_not_null and set(row.names) == set(asked):
            return Key(tuple(row.names), tuple(row.types))
    if asked is None:
        raise MigrationError(
            f"{work.name} {work.target}: the table has no primary key. Needed: key=, columns that are NOT NULL and "
            "have a unique index"
        )
    raise MigrationError(
        f"{work.name} {work.target}: key={list(asked)} does not tell the rows apart. Needed: columns that are NOT NULL "
        f"and have a unique index, such as op.add_unique_safely(..., {request.table!r}, {list(asked)!r})"
    )


class BatchStatements:
    """The statements of one batch, for `Work.execute` with parameters.

    Those are the key to go on after, :after_1, ..., and the last one that counts, :upto_1, ...
    """

    def __init__(self, request: BackfillRequest, key: Key) -> None:
        self._table = escaped(request.table_sql)
        self._name = escaped(quoted(request.table))
        self._where = escaped(request.where)
        self._assignments = escaped(request.assignments)
        self._columns = [f"{self._name}.{escaped(quoted(name))}" for name in key.names]
        self._types = [escaped(each) for each in key.types]
        self._numbers = range(1, len(key.names) + 1)

    def last_key(self) -> str:
        """Return the query for the last key of the table, as text, whether its row is to be done or not."""
        last = ", ".join(f"CAST({each} AS text)" for each in self._columns)
        order = ", ".join(f"{each} DESC" for each in self._columns)
        return f"SELECT {last} FROM {self._table} ORDER BY {order} LIMIT 1"

    def update(self, *, limit: int, after: bool, upto: bool, lock: str) -> str:
        """Return the UPDATE of so many rows: how many there were, how many were done, and the last key as text.

        The rows are found before the first of them is locked: looking for few among many takes long. Names begin with
        memstore_, since those of the caller's SQL are looked up among them.
        """
        columns = ", ".join(self._columns)
        keys = ", ".join(f"{each} AS memstore_key_{n}" for n, each in self._numbered())
        arrays = ", ".join(f"array_agg(memstore_key_{n}) AS memstore_keys_{n}" for n in self._numbers)
        lists = ", ".join(f"memstore_keys_{n}" for n in self._numbers)
        found = ", ".join(f"memstore_found_{n}" for n in self._numbers)
        is_found = " AND ".join(f"{each} = memstore_found_{n}" for n, each in self._numbered())
        is_locked = " AND ".join(f"{each} = memstore_key_{n}" for n, each in self._numbered())
        last = ", ".join(f"CAST(memstore_keys_{n}[cardinality(memstore_keys_{n})] AS text)" for n in self._numbers)
        beyond = f" AND {self._beyond('>', 'after')}" if after else ""
        if upto:
            beyond += f" AND {self._beyond('<=', 'upto')}"
        return f"""
            WITH memstore_found AS MATERIALIZED (
                SELECT {arrays}, clock_timestamp() AS memstore_at
                FROM (
                    SELECT {keys} FROM {self._table} WHERE ({self._where}){beyond} ORDER BY {columns} LIMIT {limit}
                ) AS memstore_candidates
            ), memstore_batch AS MATERIALIZED (
                SELECT {keys} FROM memstore_found, unnest({lists}) AS memstore_each ({found}), {self._table}
                WHERE {is_found} AND ({self._where}) FOR {lock}
            ), memstore_updated AS (
                UPDATE {self._table} SET {self._assignments} FROM memstore_batch WHERE {is_locked}
                RETURNING ({self._where}) AS memstore_is_left
            ), memstore_done AS (
                SELECT count(*) AS memstore_rows, count(*) FILTER (WHERE memstore_is_left) AS memstore_left,
                       clock_timestamp() AS memstore_at
                FROM memstore_updated
            )
            SELECT coalesce(cardinality(memstore_keys_1), 0), memstore_rows, memstore_left,
                   CAST(extract(epoch FROM memstore_done.memstore_at - memstore_found.memstore_at) AS float8), {last}
            FROM memstore_found, memstore_done
        """

    def lock(self, strength: str, *, skip: bool) -> str:
        """Return how the rows are locked."""
        return f"{strength} OF {self._name}{' SKIP LOCKED' if skip else ''}"

    def still_left(self, *, after: bool) -> str:
        """Return the count of rows up to :last_1, ... that this transaction has updated and that are still to be done.

        RETURNING sees other rows, which `where` may look at, as they were before the UPDATE.
        """
        beyond = f" AND {self._beyond('>', 'after')}" if after else ""
        return (
            f"SELECT count(*) FROM {self._table} WHERE ({self._where}) AND {self._beyond('<=', 'last')}{beyond} "
            f"AND {self._name}.xmin = CAST(pg_current_xact_id() AS xid)"
        )

    def _beyond(self, operator: str, name: str) -> str:
        # By way of text: asyncpg would take the parameter for one of the key's type.
        values = ", ".join(f"CAST(CAST(:{name}_{n} AS text) AS {each})" for n, each in enumerate(self._types, 1))
        return f"({', '.join(self._columns)}) {operator} ({values})"

    def _numbered(self) -> enumerate[str]:
        return enumerate(self._columns, 1)
