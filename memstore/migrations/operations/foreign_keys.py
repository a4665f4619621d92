"""Foreign keys between tables in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
from ..sql_text import quoted, quoted_table
from .constraint_state import ConstraintRequest, check_same, check_valid, probed
from .stepwise import stepwise
from .validated import add_validated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .constraint_state import FoundConstraint
    from .work import Work

_SOURCE, _REFERENT = "memstore_probe_source", "memstore_probe_referent"


class SafeForeignKeys(MigrateOperation):
    """An operation on foreign keys that commits: it comes first in its revision, and can be run again after a kill."""

    @classmethod
    def add_foreign_key_safely(
        cls,
        operations: Operations,
        name: str,
        source: str,
        referent: str,
        local_cols: Sequence[str],
        remote_cols: Sequence[str],
        *,
        source_schema: str | None = None,
        referent_schema: str | None = None,
        ondelete: str | None = None,
        onupdate: str | None = None,
        deferrable: bool | None = None,
        initially: str | None = None,
        match: str | None = None,
    ) -> None:
        """Add a foreign key, and look at the rows that are there while both tables are read and written.

        Adding it locks out the writers of both tables, for the moment that it takes. One of that name that is the same
        is left as it is, and looked at the rows for where a kill prevented it.

        Args:
            operations: given by Alembic.
            name: the name of the constraint, in full.
            source: the table that refers.
            referent: the table that it refers to.
            local_cols: the columns that refer.
            remote_cols: the columns that they refer to.
            source_schema: the schema of the one table, the first of the search path when None.
            referent_schema: the schema of the other.
            ondelete: as for `op.create_foreign_key`, such as `CASCADE` or `SET NULL (author_id)`.
            onupdate: likewise.
            deferrable: whether it can be.
            initially: `DEFERRED` or `IMMEDIATE`.
            match: `FULL` or `SIMPLE`.

        Raises:
            MigrationError: rows violate it, which are counted, and nothing is left behind; there is another constraint
                of that name; a table is busy beyond the retries; or the revision has written something before it.
        """
        if not local_cols or len(local_cols) != len(remote_cols):
            raise MigrationError(
                f"add_foreign_key_safely {name}: {list(local_cols)} refer to {list(remote_cols)}. "
                "Needed: as many columns on one side as on the other"
            )
        options = [
            f"MATCH {match}" if match else "",
            f"ON DELETE {ondelete}" if ondelete else "",
            f"ON UPDATE {onupdate}" if onupdate else "",
            "" if deferrable is None else "DEFERRABLE" if deferrable else "NOT DEFERRABLE",
            f"INITIALLY {initially}" if initially else "",
        ]

        def definition(to: str) -> str:
            columns = f"FOREIGN KEY ({_listed(local_cols)}) REFERENCES {to} ({_listed(remote_cols)})"
            return " ".join([columns, *(each for each in options if each)])

        to = quoted_table(referent_schema, referent)
        request = ConstraintRequest(name, source, source_schema, definition(to))

        def check(work: Work, request: ConstraintRequest, found: FoundConstraint) -> None:
            """Compare it with one between temporary tables: a temporary table cannot refer to any other."""
            probe = ConstraintRequest("memstore_probe", _SOURCE, "pg_temp", definition(f"pg_temp.{_REFERENT}"))
            words = probed(
                work,
                probe,
                {
                    _SOURCE: f"LIKE {request.table_sql} INCLUDING GENERATED",
                    _REFERENT: f"LIKE {to} INCLUDING GENERATED INCLUDING INDEXES",
                },
            )
            name_of = work.execute("SELECT CAST(to_regclass(:table) AS text)", {"table": to})[0][0]
            asked = words.replace(f"REFERENCES {_REFERENT}(", f"REFERENCES {name_of}(", 1)
            check_same(work, request, found.definition, asked)

        with stepwise(operations, "add_foreign_key_safely", request.label, request.table_sql) as work:
            add_validated(
                work,
                request,
                violating=_violating(request.table_sql, to, local_cols, remote_cols, match),
                mend=f"before it, delete them, or add what they refer to, or op.backfill({source!r}, ...)",
                tables=tuple(dict.fromkeys((request.table_sql, to))),
                check=check,
            )
        check_valid(operations, request)


def _violating(
    source: str, referent: str, local_cols: Sequence[str], remote_cols: Sequence[str], match: str | None
) -> str:
    local = [f"source.{quoted(column)}" for column in local_cols]
    same = " AND ".join(f"referent.{quoted(r)} = {column}" for r, column in zip(remote_cols, local, strict=True))
    all_there = " AND ".join(f"{column} IS NOT NULL" for column in local)
    violated = f"{all_there} AND NOT EXISTS (SELECT FROM {referent} AS referent WHERE {same})"
    if (match or "").upper() == "FULL":
        none_there = " AND ".join(f"{column} IS NULL" for column in local)
        violated = f"{violated} OR NOT ({all_there}) AND NOT ({none_there})"
    return f"FROM {source} AS source WHERE {violated}"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))
