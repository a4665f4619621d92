"""The SQL that takes rows to the schema memstore_archive and brings them back: blocks that psql runs as they are."""

from __future__ import annotations

from ..sql_text import literal, quoted_table
from .archive_bring_back import BRING_BACK, INSERT, UPDATE
from .archive_copy import COPY
from .archive_names import ARCHIVE_SCHEMA, REFUSED, RESULT

__all__ = ["ARCHIVE_SCHEMA", "REFUSED", "RESULT", "archive_column", "archive_table", "restore_column", "restore_table"]


def archive_table(table: str, schema: str | None, versions: str) -> str:
    """Return the block that copies all rows of a table; `versions` is Alembic's version table, in SQL."""
    return _block(COPY, table, schema, None, versions)


def archive_column(table: str, column: str, schema: str | None, versions: str) -> str:
    """Return the block that copies the values of a column, each with the primary key of its row."""
    return _block(COPY, table, schema, column, versions)


def restore_table(table: str, schema: str | None) -> str:
    """Return the block that inserts what the archive of a table holds, and drops the archive."""
    return _block(BRING_BACK.replace("{write}", INSERT), table, schema, None, "")


def restore_column(table: str, column: str, schema: str | None) -> str:
    """Return the block that writes archived values into the rows that are still there, and drops the archive."""
    return _block(BRING_BACK.replace("{write}", UPDATE), table, schema, column, "")


# As text, a date is written and read in one way, whatever the session has: what is archived in one comes back in
# another. Times are written with their offset, in any time zone.
_FORMATS = ("datestyle=ISO, YMD", "intervalstyle=postgres", "extra_float_digits=1", "bytea_output=hex")


def _block(body: str, table: str, schema: str | None, column: str | None, versions: str) -> str:
    values = {
        "table": literal(quoted_table(schema, table)),
        "column": "NULL" if column is None else literal(column),
        "versions": literal(versions),
        "formats": ", ".join(map(literal, _FORMATS)),
    }
    text = _FRAME.replace("{body}", body)
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


# Readable where it can be: "memstore.users". A name with a dot or too long is told apart by a hash. Row level
# security hides rows from their owner only where it is forced, and is not forced while they are moved.
_FRAME = f"""
DO $memstore$
DECLARE
    source regclass := {{table}};
    wanted_column name := {{column}};
    label text;
    archive text;
    held regclass;
    forced boolean;
    keys text[];
    columns text;
    expressions text;
    condition text := 'true';
    off text;
    back text;
    deferred text;
    problem text;
    total bigint := 0;
    moved bigint := 0;
    kept_apart text;
    has_rows boolean;
    each record;
    formats jsonb;
    kept_as name;
    detail text;
BEGIN
    SELECT jsonb_object_agg(name, current_setting(name)) INTO formats
    FROM unnest(ARRAY[{{formats}}]) AS f, split_part(f, '=', 1) AS name;
    PERFORM set_config(split_part(f, '=', 1), split_part(f, '=', 2), true) FROM unnest(ARRAY[{{formats}}]) AS f;
    PERFORM set_config('{RESULT}', '', true);
    SELECT format('%I.%I', nspname, relname)
               || CASE WHEN wanted_column IS NULL THEN '' ELSE format('.%I', wanted_column) END,
           relforcerowsecurity,
           CASE
               WHEN concat(nspname, relname, wanted_column) !~ '[.~]' AND octet_length(plain) <= 63 THEN plain
               ELSE left(plain, 12) || '~' || left(encode(sha256(convert_to(exact, 'UTF8')), 'hex'), 12)
           END
    INTO label, forced, kept_as
    FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace,
         LATERAL (SELECT concat_ws('.', nspname, relname, wanted_column) AS plain,
                         to_json(ARRAY[nspname, relname, wanted_column])::text AS exact) AS name
    WHERE pg_class.oid = source;
    SELECT array_agg(attname::text ORDER BY array_position(indkey::int[], attnum::int)) INTO keys
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = source AND indisprimary;
    IF wanted_column IS NOT NULL THEN
        SELECT CASE
            WHEN attname IS NULL THEN 'it is not there'
            WHEN attgenerated <> '' OR attidentity = 'a' THEN 'it is generated, and what is generated needs no archive'
            WHEN keys IS NULL THEN 'its table has no primary key, by which the rows would be found again'
            WHEN attname = ANY (keys) THEN 'it is part of the primary key; archive the table'
        END INTO problem
        FROM (VALUES (source)) AS s (oid) LEFT JOIN pg_attribute
            ON attrelid = s.oid AND attname = wanted_column AND attnum > 0 AND NOT attisdropped;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'cannot archive the column %: %', label, problem USING ERRCODE = '{REFUSED}';
        END IF;
    END IF;
    archive := format('{ARCHIVE_SCHEMA}.%I', kept_as);
    -- not to_regclass, which fails where the schema is somebody else's
    SELECT pg_class.oid INTO held FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = '{ARCHIVE_SCHEMA}' AND relname = kept_as;
    <<moving>>
    BEGIN
    {{body}}
    END moving;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(formats);
    IF moved > 0 OR total > 0 THEN
        PERFORM set_config('{RESULT}', json_build_object(
            'name', label, 'archive', archive, 'rows', moved, 'gone', total - moved, 'kept_apart', kept_apart
        )::text, true);
    END IF;
END
$memstore$
"""
