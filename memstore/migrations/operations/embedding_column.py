"""A column of embeddings that gets another width: what it is, and what of it can go over to the new column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import MigrationError
from ..sql_text import literal, quoted, quoted_table

if TYPE_CHECKING:
    from .work import Work

MARK = "memstore: change_embedding_width"

_MAX_NAME = 63  # bytes, beyond which PostgreSQL cuts
_COLUMNS = """
    SELECT attname::text AS name, attnum, typname::text AS type, format_type(atttypid, atttypmod) AS full_type,
           atttypmod AS width, attnotnull AS is_not_null, coalesce(col_description(attrelid, attnum), '') AS comment,
           CASE WHEN attstorage <> typstorage THEN attstorage::text END AS storage, attacl IS NOT NULL AS has_grants,
           attgenerated <> '' AS is_generated
    FROM pg_attribute JOIN pg_type AS t ON t.oid = atttypid
    WHERE attrelid = to_regclass(:table) AND attname = ANY (:names) AND attnum > 0 AND NOT attisdropped
"""
_TABLE = """
    SELECT relkind::text AS kind, row_security_active(c.oid) AS hides_rows,
           EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) AS inherits, nspname::text AS schema
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = to_regclass(:table)
"""
_IN_THE_WAY = """
    SELECT DISTINCT CASE
        WHEN r.oid IS NOT NULL THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
        ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
    FROM pg_depend AS d LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    LEFT JOIN pg_constraint AS n ON d.classid = 'pg_constraint'::regclass AND n.oid = d.objid
    LEFT JOIN pg_class AS i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid
    LEFT JOIN pg_trigger AS t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(:table) AND d.refobjsubid = :attnum
      AND coalesce(i.relkind, '') <> 'i' AND coalesce(t.tgname, '') <> :trigger
      AND NOT (n.contype IS NOT NULL AND (n.contype = 'n' OR n.contype = 'c' AND cardinality(n.conkey) = 1))
    ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Carried:
    """An index or a check, as it is to be on the new column: what follows its name and table."""

    name: str
    definition: str
    is_unique: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class WidthChange:
    """The change that is asked for, and the names that it uses."""

    table: str
    column: str
    width: int
    schema: str | None

    @property
    def table_sql(self) -> str:
        """The table as SQL takes it."""
        return quoted_table(self.schema, self.table)

    @property
    def new(self) -> str:
        """The column that is filled beside the old one."""
        return suffixed(self.column, "_new")

    @property
    def old(self) -> str:
        """The column that was, until it is archived."""
        return suffixed(self.column, "_old")

    @property
    def todo(self) -> str:
        """The index on the rows that are still to be done."""
        return suffixed(f"ix_{self.table}_{self.column}", "_todo")

    @property
    def trigger(self) -> str:
        """The trigger, and its function, that has a row done again whose old embedding is changed."""
        return suffixed(f"{self.table}_{self.column}", "_stale")

    @property
    def not_null(self) -> str:
        """The constraint that stands in for NOT NULL until the rows are looked at."""
        return suffixed(self.column, "_not_null_new")

    @property
    def is_left(self) -> str:
        """The condition of a row that is still to be done."""
        return f"{quoted(self.column)} IS NOT NULL AND {quoted(self.new)} IS NULL"


def suffixed(name: str, suffix: str) -> str:
    """Return a name with something at its end, cut to what PostgreSQL takes."""
    return f"{name.encode()[: _MAX_NAME - len(suffix)].decode(errors='ignore')}{suffix}"


def find_columns(work: Work, change: WidthChange) -> dict[str, Any]:
    """Return the columns there are of the three that a change may have, by name."""
    names = [change.column, change.new, change.old]
    return {row.name: row for row in work.execute(_COLUMNS, {"table": change.table_sql, "names": names})}


def schema_of(work: Work, change: WidthChange) -> str:
    """Return the schema of the table."""
    return str(work.execute(_TABLE, {"table": change.table_sql})[0].schema)


def check_table(work: Work, change: WidthChange) -> None:
    """Refuse a table on which this cannot be done."""
    rows = work.execute(_TABLE, {"table": change.table_sql})
    if not rows:
        raise refusal(work, f"there is no table {change.table_sql}", "Make it first")
    (table,) = rows
    if table.kind != "r" or table.inherits:
        raise refusal(work, f"{change.table_sql} is partitioned, inherits or is no table", "Do it on each leaf by hand")
    if table.hides_rows:
        raise refusal(
            work,
            "row level security holds for this role too, and would hide rows that are to be done",
            "Run it as a role with BYPASSRLS, or before it: "
            f"ALTER TABLE {change.table_sql} NO FORCE ROW LEVEL SECURITY",
        )


def check_column(work: Work, change: WidthChange, found: Any) -> None:
    """Refuse a column, by the names of what hangs on it, that cannot go over to another one."""
    if found is None:
        raise refusal(work, f"there is no column {change.column} in {change.table_sql}", "Name one that is there")
    if found.type not in ("vector", "halfvec") or found.width < 0:
        raise refusal(work, f"the column is {found.full_type}", "This is for vector(N) and halfvec(N)")
    if found.is_generated:
        raise refusal(work, "the column is generated", "Add another with the new expression, and drop this one")
    parameters = {"table": change.table_sql, "attnum": found.attnum, "trigger": change.trigger}
    hanging = [row[0] for row in work.execute(_IN_THE_WAY, parameters)]
    if found.has_grants:
        hanging.append("grants on the column alone")
    if hanging:
        raise refusal(
            work,
            f"this cannot go over to another column: {'; '.join(hanging)}",
            "Drop it in a revision before this one, and make it again in one after",
        )


def comment_sql(place: str, comment: str | None) -> str:
    """Return what comments on something, or takes the comment away."""
    return f"COMMENT ON {place} IS {literal(comment) if comment else 'NULL'}"


def refusal(work: Work, problem: str, remedy: str) -> MigrationError:
    """Return the error that nothing was done, why, and what to do."""
    return MigrationError(f"{work.name} {work.target}: {problem}. Nothing was done. {remedy}")
