"""The part of a block that takes rows to the schema memstore_archive, in PL/pgSQL."""

from __future__ import annotations

from .archive_names import ARCHIVE_SCHEMA, LAST_VALUE, REFUSED

# The lock is what DROP takes anyway; taken later, rows could come in between. Types that are neither PostgreSQL's nor
# an extension's are kept as text: an archive must not be in the way of DROP TYPE. A NULL of a column with a default is
# a value too: when the column comes back, its row would get the default.
COPY = f"""
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
        SELECT pg_get_userbyid(nspowner) INTO problem FROM pg_namespace
        WHERE nspname = '{ARCHIVE_SCHEMA}' AND NOT pg_has_role(nspowner, 'USAGE');
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'cannot archive %: the schema {ARCHIVE_SCHEMA} belongs to the role %. Migrate as that '
                'role, or let it be yours: ALTER SCHEMA {ARCHIVE_SCHEMA} OWNER TO %', label, problem,
                quote_ident(current_user) USING ERRCODE = '{REFUSED}';
        END IF;
        IF to_regnamespace('{ARCHIVE_SCHEMA}') IS NULL THEN
            CREATE SCHEMA {ARCHIVE_SCHEMA};
            COMMENT ON SCHEMA {ARCHIVE_SCHEMA} IS
                'rows of what was dropped on the way down, which the way up brings back; for the owner alone';
        END IF;
        EXECUTE format('CREATE TABLE %s AS SELECT %s FROM %s WHERE %s', archive, columns, source, condition);
        GET DIAGNOSTICS moved = ROW_COUNT;
        total := moved;
        -- what a sequence has given out is not given out again, though its row is gone
        FOR each IN
            SELECT t.attname, pg_sequence_last_value(sequence::regclass) AS last
            FROM pg_attribute AS t JOIN pg_attribute AS a
                 ON a.attrelid = to_regclass(archive) AND a.attname = t.attname,
                 pg_get_serial_sequence(source::text, t.attname) AS sequence
            WHERE t.attrelid = source AND t.attnum > 0 AND NOT t.attisdropped AND sequence IS NOT NULL
        LOOP
            IF each.last IS NOT NULL THEN
                EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', archive, each.attname, '{LAST_VALUE}' || each.last);
            END IF;
        END LOOP;
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
