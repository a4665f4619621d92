"""The part of a block that brings archived rows back, in PL/pgSQL."""

from __future__ import annotations

from .archive_names import ARCHIVE_SCHEMA, LAST_VALUE, REFUSED

# An archive that somebody else made could hold anything, and a view among them would run as whoever restores it.
BRING_BACK = f"""
    IF held IS NULL THEN
        EXIT moving;
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
    BEGIN
    {{write}}
    EXCEPTION WHEN integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        RAISE EXCEPTION 'cannot restore % from %: % (%). Change or delete what is in the way, in the one or the other, '
            'and run it again', label, archive, problem, detail USING ERRCODE = '{REFUSED}';
    END;
    FOR each IN
        SELECT t.attname, sequence::regclass AS sequence, seqincrement > 0 AS rises, seqmin, seqmax,
               coalesce(pg_sequence_last_value(sequence::regclass), seqstart) AS least,
               substring(col_description(held, a.attnum) FROM '^{LAST_VALUE}(-?[0-9]+)$')::bigint AS kept
        FROM pg_attribute AS t JOIN pg_attribute AS a
             ON a.attrelid = held AND a.attname = t.attname AND a.attnum > 0 AND NOT a.attisdropped,
             pg_get_serial_sequence(source::text, t.attname) AS sequence
             JOIN pg_sequence ON seqrelid = sequence::regclass
        WHERE t.attrelid = source AND t.attnum > 0 AND NOT t.attisdropped
          AND (wanted_column IS NULL OR t.attname = wanted_column)
    LOOP
        EXECUTE format('SELECT setval(%1$L, v) FROM (SELECT %2$s(v) FROM (SELECT %2$s(%3$I) FROM %4$s UNION ALL '
                       'SELECT %5$L::bigint) AS each (v)) AS s (v) WHERE v %6$s %7$s AND v BETWEEN %8$s AND %9$s',
                       each.sequence, CASE WHEN each.rises THEN 'max' ELSE 'min' END, each.attname, source, each.kept,
                       CASE WHEN each.rises THEN '>=' ELSE '<=' END, each.least, each.seqmin, each.seqmax);
    END LOOP;
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

INSERT = f"""
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

UPDATE = """
    SELECT string_agg(format('t.%1$I = a.%1$I', key), ' AND ') INTO condition FROM unnest(keys) AS key;
    EXECUTE format('UPDATE %s AS t SET %s = %s FROM %s AS a WHERE %s', source, columns, expressions, held, condition);
    GET DIAGNOSTICS moved = ROW_COUNT;
"""
