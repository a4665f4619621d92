"""The SQL that takes rows to the schema memstore_archive and brings them back: blocks that psql runs as they are."""

from __future__ import annotations

from ..sql_text import literal, quoted_table

ARCHIVE_SCHEMA = "memstore_archive"
RESULT = "memstore.moved_rows"  # a setting of the transaction, by which a block tells what it has done
REFUSED = "MSA01"  # the SQLSTATE of what a block refuses


def archive_table(table: str, schema: str | None, versions: str) -> str:
    """Return the block that copies all rows of a table; `versions` is Alembic's version table, in SQL."""
    return _block(_COPY, table, schema, None, versions)


def archive_column(table: str, column: str, schema: str | None, versions: str) -> str:
    """Return the block that copies the values of a column, each with the primary key of its row."""
    return _block(_COPY, table, schema, column, versions)


def restore_table(table: str, schema: str | None) -> str:
    """Return the block that inserts what the archive of a table holds, and drops the archive."""
    return _block(_BRING_BACK.replace("{write}", _INSERT), table, schema, None, "")


def restore_column(table: str, column: str, schema: str | None) -> str:
    """Return the block that writes archived values into the rows that are still there, and drops the archive."""
    return _block(_BRING_BACK.replace("{write}", _UPDATE), table, schema, column, "")


def _block(body: str, table: str, schema: str | None, column: str | None, versions: str) -> str:
    values = {
        "table": literal(quoted_table(schema, table)),
        "column": "NULL" if column is None else literal(column),
        "versions": literal(versions),
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
BEGIN
    PERFORM set_config('{RESULT}', '', true);
    SELECT format('%I.%I', nspname, relname)
               || CASE WHEN wanted_column IS NULL THEN '' ELSE format('.%I', wanted_column) END,
           relforcerowsecurity,
           format('{ARCHIVE_SCHEMA}.%I', CASE
               WHEN concat(nspname, relname, wanted_column) !~ '[.~]' AND octet_length(plain) <= 63 THEN plain
               ELSE left(plain, 12) || '~' || left(encode(sha256(convert_to(exact, 'UTF8')), 'hex'), 12)
           END)
    INTO label, forced, archive
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
    held := to_regclass(archive);
    {{body}}
    IF moved > 0 OR total > 0 THEN
        PERFORM set_config('{RESULT}', json_build_object(
            'name', label, 'archive', archive, 'rows', moved, 'gone', total - moved, 'kept_apart', kept_apart
        )::text, true);
    END IF;
END
$memstore$
"""

# The lock is what DROP takes anyway; taken later, rows could come in between. Types that are neither PostgreSQL's nor
# an extension's are kept as text: an archive must not be in the way of DROP TYPE. A NULL of a column with a default is
# a value too: when the column comes back, its row would get the default.
_COPY = f"""
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'cannot archive % in a transaction that is %: rows that came in since it began would be lost. '
            'Downgrade in READ COMMITTED', label, upper(current_setting('transaction_isolation'))
            USING ERRCODE = '{REFUSED}';
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', source);
    IF forced THEN
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', source);
    END IF;
    SELECT string_agg(
        CASE WHEN nspname = 'pg_catalog' OR extension.objid IS NOT NULL THEN format('%I', attname)
             ELSE format('%1$I::text AS %1$I', attname) END, ', ' ORDER BY attnum) INTO columns
    FROM pg_attribute JOIN pg_type AS t ON t.oid = atttypid
         LEFT JOIN pg_type AS element ON element.oid = t.typelem AND t.typcategory = 'A'
         JOIN pg_namespace AS n ON n.oid = coalesce(element.typnamespace, t.typnamespace)
         LEFT JOIN pg_depend AS extension ON extension.classid = 'pg_type'::regclass AND extension.deptype = 'e'
              AND extension.objid = coalesce(element.oid, t.oid) AND extension.refclassid = 'pg_extension'::regclass
    WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
      AND (wanted_column IS NULL OR attname = wanted_column OR attname = ANY (keys));
    IF wanted_column IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = source AND attname = wanted_column AND atthasdef
    ) THEN
        condition := format('%I IS NOT NULL', wanted_column);
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s)', source, condition) INTO has_rows;
    IF has_rows THEN
        IF held IS NOT NULL THEN
            RAISE EXCEPTION 'cannot archive %: % holds what an earlier downgrade has archived. To part with that: '
                'DROP TABLE %. To keep it: ALTER TABLE % RENAME TO another_name', label, archive, archive, archive
                USING ERRCODE = '{REFUSED}';
        END IF;
        IF to_regnamespace('{ARCHIVE_SCHEMA}') IS NULL THEN
            CREATE SCHEMA {ARCHIVE_SCHEMA};
            COMMENT ON SCHEMA {ARCHIVE_SCHEMA} IS
                'rows of what was dropped on the way down, which the way up brings back; for the owner alone';
        END IF;
        EXECUTE format('CREATE TABLE %s AS SELECT %s FROM %s WHERE %s', archive, columns, source, condition);
        GET DIAGNOSTICS moved = ROW_COUNT;
        total := moved;
        -- default privileges may have given rights away
        FOR each IN
            SELECT DISTINCT place, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS grantee FROM (
                SELECT 'SCHEMA {ARCHIVE_SCHEMA}' AS place, grantee, nspowner AS owner
                FROM pg_namespace, aclexplode(nspacl) WHERE nspname = '{ARCHIVE_SCHEMA}'
                UNION ALL SELECT 'TABLE ' || archive, grantee, relowner
                FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(archive)
            ) AS rights WHERE grantee <> owner
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s', each.place, each.grantee);
        END LOOP;
        back := 'a downgrade';
        IF to_regclass({{versions}}) IS NOT NULL THEN
            EXECUTE format('SELECT string_agg(version_num, %L) FROM %s', ', ', to_regclass({{versions}})) INTO back;
        END IF;
        EXECUTE format('COMMENT ON TABLE %s IS %L', archive, format(
            '%s of %s, archived on the way down from %s at %s', moved, label, back, date_trunc('second', now())));
        RAISE NOTICE 'archived % rows of % in %', moved, label, archive;
    END IF;
    IF forced THEN
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', source);
    END IF;
"""

# An archive that somebody else made could hold anything, and a view among them would run as whoever restores it.
_BRING_BACK = f"""
    IF held IS NULL THEN
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
        WHERE pg_class.oid = held AND relkind = 'r'
          AND pg_has_role(relowner, 'USAGE') AND pg_has_role(nspowner, 'USAGE')
    ) THEN
        RAISE EXCEPTION 'cannot restore % from %: that is no table, or belongs to another role. '
            'Migrate as the role that owns {ARCHIVE_SCHEMA}', label, archive USING ERRCODE = '{REFUSED}';
    END IF;
    SELECT string_agg(action_off, ', '), string_agg(action_back, ', ') INTO off, back FROM (
        SELECT format('DISABLE TRIGGER %I', tgname) AS action_off,
               format('ENABLE %sTRIGGER %I',
                      CASE tgenabled WHEN 'A' THEN 'ALWAYS ' WHEN 'R' THEN 'REPLICA ' ELSE '' END,
                      tgname) AS action_back
        FROM pg_trigger WHERE tgrelid = source AND NOT tgisinternal AND tgenabled <> 'D'
        UNION ALL SELECT 'NO FORCE ROW LEVEL SECURITY', 'FORCE ROW LEVEL SECURITY' WHERE forced
    ) AS actions;
    IF off IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s %s', source, off);
    END IF;
    SELECT string_agg(format('%I', t.attname), ', ' ORDER BY t.attnum),
           string_agg(format('a.%I', t.attname) || CASE
               WHEN a.atttypid = 'text'::regtype AND typcategory <> 'S' THEN
                   '::' || format_type(t.atttypid, t.atttypmod)
               ELSE '' END, ', ' ORDER BY t.attnum)
    INTO columns, expressions
    FROM pg_attribute AS t JOIN pg_attribute AS a
         ON a.attrelid = held AND a.attname = t.attname AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_type ON pg_type.oid = t.atttypid
    WHERE t.attrelid = source AND t.attnum > 0 AND NOT t.attisdropped AND t.attgenerated = ''
      AND (wanted_column IS NULL OR t.attname = wanted_column);
    EXECUTE format('SELECT count(*) FROM %s', held) INTO total;
    {{write}}
    SELECT string_agg(format('%I.%I', nspname, conname), ', ') INTO deferred
    FROM pg_constraint JOIN pg_namespace AS n ON n.oid = connamespace
    WHERE conrelid = source AND condeferred AND off IS NOT NULL;
    -- what is checked at the end of the transaction would be in the way of ALTER TABLE
    IF deferred IS NOT NULL THEN
        EXECUTE format('SET CONSTRAINTS %s IMMEDIATE', deferred);
        EXECUTE format('SET CONSTRAINTS %s DEFERRED', deferred);
    END IF;
    IF back IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s %s', source, back);
    END IF;
    IF kept_apart IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s RENAME TO %I', held, kept_apart);
        RAISE WARNING '% holds columns that % has no more; it stays as {ARCHIVE_SCHEMA}.%',
            archive, label, quote_ident(kept_apart);
    ELSE
        EXECUTE format('DROP TABLE %s', held);
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_depend
        WHERE refclassid = 'pg_namespace'::regclass AND refobjid = to_regnamespace('{ARCHIVE_SCHEMA}')
    ) THEN
        DROP SCHEMA {ARCHIVE_SCHEMA};
    END IF;
    RAISE NOTICE 'restored % rows of % from %', moved, label, archive;
"""

_INSERT = f"""
    SELECT string_agg(format('%I', attname), ', ') INTO problem
    FROM pg_attribute AS t
    WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef
      AND attidentity = '' AND attgenerated = '' AND NOT EXISTS (
          SELECT FROM pg_attribute AS a
          WHERE a.attrelid = held AND a.attname = t.attname AND a.attnum > 0 AND NOT a.attisdropped);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'cannot restore % from %: % cannot be NULL, has no default, and is not in the archive. '
            'Add it to %, with values', label, archive, problem, archive USING ERRCODE = '{REFUSED}';
    END IF;
    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s AS a',
                   source, columns, expressions, held);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> total THEN
        RAISE EXCEPTION 'of % rows in %, % would come back to %', total, archive, moved, label
            USING ERRCODE = '{REFUSED}';
    END IF;
    FOR each IN
        SELECT attname, sequence::regclass AS sequence, seqstart
        FROM pg_attribute, pg_get_serial_sequence(source::text, attname) AS sequence
             JOIN pg_sequence ON seqrelid = sequence::regclass
        WHERE attrelid = source AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('SELECT setval(%L, highest) FROM (SELECT max(%I) AS highest FROM %s) AS s WHERE highest >= %s',
                       each.sequence, each.attname, source,
                       coalesce(pg_sequence_last_value(each.sequence), each.seqstart));
    END LOOP;
    SELECT string_agg(format('%I IS NOT NULL', attname), ' OR ') INTO condition
    FROM pg_attribute AS a
    WHERE attrelid = held AND attnum > 0 AND NOT attisdropped AND NOT EXISTS (
        SELECT FROM pg_attribute AS t
        WHERE t.attrelid = source AND t.attname = a.attname AND t.attnum > 0 AND NOT t.attisdropped);
    IF condition IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s)', held, condition) INTO has_rows;
        IF has_rows THEN
            kept_apart := 'left~' || pg_current_xact_id()::text || '~' || left(label, 9);
        END IF;
    END IF;
"""

_UPDATE = """
    SELECT string_agg(format('t.%1$I = a.%1$I', key), ' AND ') INTO condition FROM unnest(keys) AS key;
    EXECUTE format('UPDATE %s AS t SET %s = %s FROM %s AS a WHERE %s', source, columns, expressions, held, condition);
    GET DIAGNOSTICS moved = ROW_COUNT;
"""
