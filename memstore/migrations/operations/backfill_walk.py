"""Walking through a table in batches, each a transaction of its own, until no row is left to be done."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import is_busy, sqlstate
from ..progress import Rate
from .backfill_request import BatchStatements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .backfill_request import BackfillRequest, Key
    from .work import Work

log = logging.getLogger("memstore.migrations")

TARGET_S = 0.1  # how long a batch keeps its rows locked
FIRST_ROWS, MOST_ROWS = 32, 50_000
COUNT_S = 2  # how long counting the rows beforehand may take

_QUERY_CANCELED = "57014"

# In the order of the key, whatever the planner thinks of the rows that `where` leaves: it would sort them all for each
# batch where it takes them for few, and knows nothing of a column that was added a moment ago.
_SET = """
    SELECT set_config('lock_timeout', '{lock_timeout_ms}ms', true), set_config('enable_sort', 'off', true),
           set_config('plan_cache_mode', 'force_custom_plan', true)
"""
_ROWS = """
    SELECT CAST(sum(reltuples) AS bigint) FROM pg_class
    WHERE relkind = 'r' AND (
        oid = to_regclass(:table) OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(:table)))
    ) HAVING min(reltuples) >= 0
"""


class Batch(NamedTuple):
    """What came of a batch: the rows that there were, those that were done, how long those were locked, the last."""

    found: int
    done: int
    seconds: float
    last: tuple[str, ...]


_GIN = """
    SELECT CAST(CAST(i.indexrelid AS regclass) AS text)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = to_regclass(:table) AND i.indisvalid AND a.amname = 'gin'
"""


class Walk:
    """A backfill under way."""

    def __init__(self, work: Work, request: BackfillRequest, key: Key, batch_rows: int | None) -> None:
        self._work = work
        self._request = request
        self._key = key
        self._statements = BatchStatements(request, key)
        self._is_fixed = batch_rows is not None
        self._rows = batch_rows or FIRST_ROWS
        # Rows that others refer to at this moment are not waited for, unless a key of theirs is changed.
        self._strength = "NO KEY UPDATE"
        self._rate = Rate()
        self._done = 0
        self._upto: tuple[str, ...] = ()
        self._total: int | None = None

    def run(self) -> int:
        """Do all rows, and return how many that were.

        Raises:
            MigrationError: a row that was done is still to be done; a row stays locked; or rows are still left after
                as many passes as there are retries.
        """
        self._total = self._count()
        passes = 1 + self._work.settings.lock_retries
        for _ in range(passes):
            if self._is_over():
                return self._done
            self.run_once()
            if self._is_over():
                return self._done
            self._work.patiently(self._wait_for_one, phase="waiting for a row")
        if self._is_over():
            return self._done
        raise MigrationError(
            f"{self._work.name} {self._work.target}: after {passes} passes rows are left. To find them: SELECT * "
            f"{self._request.rows}. They come in as fast as they are done, a trigger keeps them from being done, or "
            "`where` depends on the time: let what writes the table write them done, and run it again"
        )

    def _is_over(self) -> bool:
        return self._total == 0 or not self._work.execute(f"SELECT EXISTS (SELECT {self._request.rows})")[0][0]

    def run_once(self) -> None:
        """Go through the table once, up to the last row that it has now: others may come in as fast as they are done.

        Rows that somebody has locked are left.

        Raises:
            MigrationError: a row that was done is still to be done; or a batch met a lock at the last try too.
        """
        self._upto = self._last_key()
        lists = [name for (name,) in self._work.execute(_GIN, {"table": self._request.table_sql})]
        after: tuple[str, ...] | None = None
        while self._upto:
            batch = self._batch(after)
            self._tell()
            for index in lists:  # else a client's INSERT is what finds the list full, and empties it
                self._work.execute("SELECT gin_clean_pending_list(CAST(:index AS regclass))", {"index": index})
            if batch.found < self._rows:
                return
            after = batch.last
            self._adapt(batch)

    def _last_key(self) -> tuple[str, ...]:
        rows = self._work.execute(self._statements.last_key(), {})
        return tuple(rows[0]) if rows else ()

    def _adapt(self, batch: Batch) -> None:
        if not self._is_fixed and batch.done:
            factor = min(2.0, max(0.25, TARGET_S / max(batch.seconds, 0.001)))
            self._rows = max(1, min(MOST_ROWS, int(self._rows * factor)))

    def _batch(self, after: tuple[str, ...] | None) -> Batch:
        batches: list[Batch] = []

        def attempt() -> None:
            try:
                lock = self._statements.lock(self._strength, skip=True)
                batches.append(self._update(self._rows, after, lock, self._work.settings.lock_timeout_ms))
            except DBAPIError as error:
                if is_busy(error):
                    self._strength = "UPDATE"  # the columns are part of a key that somebody's row refers to now
                raise

        self._work.retried(attempt, self._work.settings.lock_retries, phase="rows", tables=(self._request.table_sql,))
        return batches[-1]

    def _wait_for_one(self) -> None:
        # Holding no other row, and in nobody's way: whoever wants this row has to wait for the same.
        lock = self._statements.lock(self._strength, skip=False)
        self._update(1, None, lock, self._work.settings.concurrent_lock_timeout_ms)

    def _update(self, limit: int, after: tuple[str, ...] | None, lock: str, lock_timeout_ms: int) -> Batch:
        parameters = _parameters("after", after or ()) | _parameters("upto", self._upto)
        update = self._statements.update(limit=limit, after=after is not None, upto=bool(self._upto), lock=lock)
        with self._work.begun():
            self._work.execute(_SET.format(lock_timeout_ms=lock_timeout_ms))
            found, done, left, seconds, *last = tuple(self._work.execute(update, parameters)[0])
            if left:
                self._check_done(after, last)
        self._done += done
        return Batch(found, done, seconds, tuple(last))

    def _check_done(self, after: tuple[str, ...] | None, last: Sequence[str]) -> None:
        query = self._statements.still_left(after=after is not None)
        left = self._work.execute(query, _parameters("after", after or ()) | _parameters("last", last))[0][0]
        if left:
            raise MigrationError(
                f"{self._work.name} {self._work.target}: {left} rows that were updated still satisfy `where` "
                f"({self._request.where}), and it would never end; those were rolled back. Needed: a condition that is "
                "false for a row that is done"
            )

    def _count(self) -> int | None:
        self._work.report("counting")
        try:
            with self._work.begun():
                self._work.execute(f"SET LOCAL statement_timeout = '{COUNT_S}s'")
                return int(self._work.execute(f"SELECT count(*) {self._request.rows}")[0][0])
        except DBAPIError as error:
            if sqlstate(error) != _QUERY_CANCELED:
                raise
        rows = self._work.execute(_ROWS, {"table": self._request.table_sql})
        return max(1, rows[0][0]) if rows else None

    def _tell(self) -> None:
        total = self._total if self._total is None or self._done <= self._total else self._done
        eta = self._rate.eta_s("rows", self._done, total)
        self._work.report("rows", self._done, total, eta_s=eta)


def _parameters(name: str, values: Sequence[str]) -> dict[str, str]:
    return {f"{name}_{n}": value for n, value in enumerate(values, 1)}
