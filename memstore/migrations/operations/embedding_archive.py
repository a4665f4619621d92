"""Old embeddings, kept in the schema memstore_archive by the primary key of their rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..sql_text import escaped, literal, quoted, quoted_table
from .archive_names import ARCHIVE_SCHEMA
from .embedding_column import schema_of

if TYPE_CHECKING:
    from .backfill_request import Key
    from .embedding_column import WidthChange
    from .work import Work

ROWS = 2_000  # a batch; of 1,024 dimensions 8 MB

_VALUE = "memstore_embedding"
_MAX_LABEL = 56  # bytes, of the 63 that a name has
_OTHER_OWNER = """
    SELECT pg_get_userbyid(nspowner)::text, current_user::text FROM pg_namespace
    WHERE nspname = :name AND NOT pg_has_role(nspowner, 'USAGE')
"""
# Default privileges may have given rights away.
_REVOKE = """
    DO $$ DECLARE role text; BEGIN
        FOR role IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                    FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
                    WHERE oid = {name}::regclass AND grantee <> relowner
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s', {name}, role);
        END LOOP;
    END $$
"""


class EmbeddingArchive:
    """The archive of a column of embeddings at one width."""

    def __init__(self, work: Work, change: WidthChange, key: Key, width: int) -> None:
        self._work = work
        self._change = change
        self._key = key
        plain = f"{schema_of(work, change)}.{change.table}.{change.column}"
        if len(plain.encode()) > _MAX_LABEL:  # cut, it could be that of another column
            plain = f"{plain[:12]}~{hashlib.sha256(plain.encode()).hexdigest()[:12]}"
        self.name = quoted_table(ARCHIVE_SCHEMA, f"{plain}.{width}")

    def exists(self) -> bool:
        """Tell whether there is one."""
        return bool(self._work.execute("SELECT to_regclass(:name) IS NOT NULL", {"name": self.name})[0][0])

    def check_owner(self) -> None:
        """Raise `MigrationError` where the archives are another role's."""
        rows = self._work.execute(_OTHER_OWNER, {"name": ARCHIVE_SCHEMA})
        if rows:
            owner, role = tuple(rows[0])
            raise MigrationError(
                f"{self._work.name} {self._work.target}: the schema {ARCHIVE_SCHEMA} belongs to the role {owner}. "
                f"Nothing was done. Migrate as that role, or: ALTER SCHEMA {ARCHIVE_SCHEMA} OWNER TO {quoted(role)}"
            )

    @property
    def expression(self) -> str:
        """The archived embedding of a row of the table, NULL where it has none."""
        table = quoted(self._change.table)
        same = " AND ".join(f"memstore_archived.{quoted(each)} = {table}.{quoted(each)}" for each in self._key.names)
        return f"(SELECT memstore_archived.{_VALUE} FROM {self.name} AS memstore_archived WHERE {same})"

    def check(self) -> None:
        """Raise `MigrationError` where there is none."""
        if not self.exists():
            raise MigrationError(
                f"{self._work.name} {self._work.target}: there is no archive {self.name} to take embeddings from. "
                "Nothing was done. Give backfill="
            )

    def keep(self, column: str, full_type: str) -> int:
        """Copy a column that nobody writes any more, in batches, and return of how many rows."""
        work, keys = self._work, ", ".join(map(quoted, self._key.names))
        if not work.execute("SELECT to_regnamespace(:name) IS NOT NULL", {"name": ARCHIVE_SCHEMA})[0][0]:
            work.execute(f"CREATE SCHEMA IF NOT EXISTS {ARCHIVE_SCHEMA}")
        columns = [f"{quoted(name)} {type_}" for name, type_ in zip(self._key.names, self._key.types, strict=True)]
        work.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(columns)}, {_VALUE} {full_type}, PRIMARY KEY ({keys}))"
        )
        work.execute(_REVOKE.format(name=literal(self.name)))
        comment = literal(f"{full_type} of {self._change.table_sql}, archived")
        work.execute(f"COMMENT ON TABLE {self.name} IS {comment}")
        done, last = 0, ""
        rows = f"FROM {self._change.table_sql} WHERE {quoted(column)} IS NOT NULL"
        total = work.execute(f"SELECT count(*) {rows}")[0][0]
        while True:
            (row,) = work.execute(self._copy(column, after=bool(last)), {"last": last} if last else {})
            if not row.rows:
                return done
            done, last = done + row.rows, row.last
            work.report("archiving", done, total)

    def _copy(self, column: str, *, after: bool) -> str:
        keys = ", ".join(map(quoted, self._key.names))
        last = ", ".join(f"CAST(CAST(:last AS jsonb) ->> {n} AS {each})" for n, each in enumerate(self._key.types))
        beyond = f"AND ({escaped(keys)}) > ({last})" if after else ""
        descending = ", ".join(f"{quoted(each)} DESC" for each in self._key.names)
        copy = escaped(
            f"INSERT INTO {self.name} ({keys}, {_VALUE}) SELECT * FROM batch "
            f"ON CONFLICT ({keys}) DO UPDATE SET {_VALUE} = excluded.{_VALUE}"
        )
        rows = escaped(
            f"SELECT {keys}, {quoted(column)} FROM {self._change.table_sql} WHERE {quoted(column)} IS NOT NULL"
        )
        return (
            f"WITH batch AS MATERIALIZED ({rows} {beyond} ORDER BY {escaped(keys)} LIMIT {ROWS}), copied AS ({copy}) "
            f"SELECT (SELECT count(*) FROM batch) AS rows, (SELECT CAST(jsonb_build_array({escaped(keys)}) AS text) "
            f"FROM batch ORDER BY {escaped(descending)} LIMIT 1) AS last"
        )
