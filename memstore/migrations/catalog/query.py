"""The query that describes a schema: a row for each object, and what can be told about it as JSON.

What is as PostgreSQL makes it when nobody says anything is left out (null), and so is what belongs to an operator
rather than to a migration: tablespaces, statistics targets, replica identity and the settings of autovacuum.

Expressions are asked for in their pretty form, which leaves out parentheses that the parser does not need: the server
keeps `a OR b OR c` as one node or as two, depending on how it was written, and pg_dump turns one into the other.
"""

from __future__ import annotations

from sqlalchemy import text

# What owns most of the tables owns the schema for our purposes: somebody else's may have been made for us.
_WITH = """
    namespace AS (SELECT oid, nspname, nspacl, nspowner FROM pg_namespace WHERE nspname = :schema),
    members AS (SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'),
    relation AS (
        SELECT c.*, quote_ident(:schema) || '.' || quote_ident(c.relname) AS name
        FROM pg_class AS c JOIN namespace AS n ON n.oid = c.relnamespace
        WHERE NOT EXISTS (SELECT FROM members WHERE classid = 'pg_class'::regclass AND objid = c.oid)
    ),
    routine AS (
        SELECT p.*, p.oid::regprocedure::text AS name
        FROM pg_proc AS p JOIN namespace AS n ON n.oid = p.pronamespace
        WHERE NOT EXISTS (SELECT FROM members WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
    ),
    owner AS (SELECT mode() WITHIN GROUP (ORDER BY relowner) AS oid FROM relation WHERE relkind IN ('r', 'p'))
"""

_RELATION_KIND = """
    CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                 WHEN 'f' THEN 'foreign table' ELSE 'table' END
"""

_ROUTINE_KIND = "CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END"

_SCHEMA = """
    SELECT 'schema', quote_ident(nspname), NULL, jsonb_build_object(
        'owner', CASE
            WHEN nspowner IS DISTINCT FROM (SELECT oid FROM owner)
             AND nspowner <> (SELECT datdba FROM pg_database WHERE datname = current_database())
             AND NOT (SELECT rolsuper FROM pg_roles WHERE pg_roles.oid = nspowner)
             AND EXISTS (SELECT FROM owner WHERE owner.oid IS NOT NULL)
            THEN quote_ident(pg_get_userbyid(nspowner))
        END,
        'comment', obj_description(oid, 'pg_namespace')
    )
    FROM namespace
"""

_EXTENSION = """
    SELECT 'extension', quote_ident(extname), NULL, jsonb_build_object('version', extversion)
    FROM pg_extension WHERE extname = 'vector'
"""

_TABLE = f"""
    SELECT {_RELATION_KIND}, name, NULL, jsonb_build_object(
        'unlogged', nullif(relpersistence = 'u', false),
        'access_method', (SELECT nullif(amname, 'heap') FROM pg_am WHERE oid = relam),
        'partitioned_by', CASE relkind WHEN 'p' THEN pg_get_partkeydef(oid) END,
        'children', (
            SELECT jsonb_agg(inhrelid::regclass::text ORDER BY 1)
            FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
            WHERE inhparent = relation.oid AND c.relnamespace <> relation.relnamespace
        ),
        'parents', (
            SELECT jsonb_agg(inhparent::regclass::text ORDER BY 1) FROM pg_inherits WHERE inhrelid = relation.oid
        ),
        'options', (
            SELECT jsonb_agg(option ORDER BY option) FROM unnest(reloptions) AS option
            WHERE option !~ '^(autovacuum|log_autovacuum|vacuum|toast)_'
        ),
        'row_level_security', nullif(relrowsecurity, false),
        'forced_row_level_security', nullif(relforcerowsecurity, false),
        'definition', CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid, true) END,
        'owner', CASE WHEN relowner <> (SELECT oid FROM owner) THEN quote_ident(pg_get_userbyid(relowner)) END,
        'revoked_from_owner', (
            SELECT jsonb_agg(privilege ORDER BY privilege)
            FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
            WHERE NOT EXISTS (
                SELECT FROM aclexplode(coalesce(relacl, acldefault('r', relowner)))
                WHERE grantee = relowner AND privilege_type = privilege
            )
        ),
        'comment', obj_description(oid, 'pg_class')
    )
    FROM relation WHERE relkind IN ('r', 'p', 'f', 'v', 'm')
"""

_COLUMN = """
    SELECT 'column', quote_ident(attname), r.name, jsonb_build_object(
        'type', format_type(atttypid, atttypmod),
        'collation', (
            SELECT quote_ident(collname) FROM pg_collation WHERE oid = attcollation AND oid <> typcollation
        ),
        'not_null', CASE
            WHEN EXISTS (
                SELECT FROM pg_constraint AS k
                WHERE k.conrelid = r.oid AND contype = 'n' AND conkey = ARRAY[attnum] AND NOT convalidated
            ) THEN to_jsonb('not valid'::text)
            WHEN attnotnull THEN to_jsonb(true)
        END,
        'default', CASE attgenerated WHEN '' THEN pg_get_expr(adbin, adrelid, true) END,
        'generated', CASE WHEN attgenerated <> '' THEN pg_get_expr(adbin, adrelid, true) END,
        'virtual', nullif(attgenerated = 'v', false),
        'identity', CASE attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
        'storage', CASE WHEN attstorage <> typstorage THEN
            CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
        END,
        'compression', CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
        'comment', col_description(r.oid, attnum)
    )
    FROM relation AS r
    JOIN pg_attribute AS a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped
    JOIN pg_type AS t ON t.oid = atttypid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = attnum
    WHERE relkind IN ('r', 'p', 'f', 'v', 'm')
"""

# PostgreSQL 18 has a constraint for each NOT NULL, which earlier ones have not: it is told with the column.
_CONSTRAINT = """
    SELECT 'constraint', quote_ident(conname), r.name, jsonb_build_object(
        'definition', regexp_replace(pg_get_constraintdef(k.oid, true), ' NOT VALID$', ''),
        'valid', nullif(convalidated, true),
        'triggers_enabled', (
            SELECT nullif(bool_and(tgenabled = 'O'), true) FROM pg_trigger WHERE tgconstraint = k.oid AND tgisinternal
        ),
        'index_valid', (SELECT nullif(indisvalid AND indisready, true) FROM pg_index WHERE indexrelid = k.conindid),
        'comment', obj_description(k.oid, 'pg_constraint')
    )
    FROM relation AS r JOIN pg_constraint AS k ON k.conrelid = r.oid WHERE contype IN ('c', 'f', 'p', 'u', 'x')
"""

_INDEX = """
    SELECT 'index', r.name, quote_ident(:schema) || '.' || quote_ident(t.relname), jsonb_build_object(
        'method', amname,
        'unique', nullif(indisunique, false),
        'nulls_not_distinct', nullif(indnullsnotdistinct, false),
        'keys', (
            SELECT jsonb_agg(pg_get_indexdef(r.oid, k, true) ORDER BY k) FROM generate_series(1, indnkeyatts) AS k
        ),
        'operator_classes', (
            SELECT jsonb_agg(quote_ident(opcname) ORDER BY position)
            FROM unnest(indclass::oid[]) WITH ORDINALITY AS class (oid, position) JOIN pg_opclass AS o USING (oid)
        ),
        'order', CASE WHEN 0 <> ANY (indoption::smallint[]) THEN (
            SELECT jsonb_agg(
                CASE WHEN option & 1 = 1 THEN 'DESC' ELSE 'ASC' END
                || CASE WHEN option & 2 = 2 THEN ' NULLS FIRST' ELSE ' NULLS LAST' END ORDER BY position
            )
            FROM unnest(indoption::smallint[]) WITH ORDINALITY AS each (option, position)
        ) END,
        'include', (
            SELECT jsonb_agg(pg_get_indexdef(r.oid, k, true) ORDER BY k)
            FROM generate_series(indnkeyatts + 1, indnatts) AS k
        ),
        'options', (SELECT jsonb_agg(option ORDER BY option) FROM unnest(r.reloptions) AS option),
        'where', pg_get_expr(indpred, indrelid, true),
        'valid', nullif(indisvalid AND indisready AND indislive, true),
        'being_built', nullif(EXISTS (
            SELECT FROM pg_stat_progress_create_index WHERE index_relid = r.oid AND datname = current_database()
        ), false),
        'definition', pg_get_indexdef(r.oid, 0, true),
        'comment', obj_description(r.oid, 'pg_class')
    )
    FROM relation AS r
    JOIN pg_index AS i ON i.indexrelid = r.oid
    JOIN pg_class AS t ON t.oid = i.indrelid
    JOIN pg_am AS m ON m.oid = r.relam
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = r.oid AND contype IN ('p', 'u', 'x'))
"""

_FUNCTION = f"""
    SELECT {_ROUTINE_KIND}, name, NULL,
        jsonb_build_object(
            'definition', CASE WHEN prokind <> 'a' THEN pg_get_functiondef(oid) END,
            'owner', CASE WHEN proowner <> (SELECT oid FROM owner) THEN quote_ident(pg_get_userbyid(proowner)) END,
            'comment', obj_description(oid, 'pg_proc')
        )
    FROM routine
"""

_TRIGGER = """
    SELECT 'trigger', quote_ident(tgname), r.name, jsonb_build_object(
        'definition', pg_get_triggerdef(g.oid, true),
        'enabled', CASE tgenabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END,
        'comment', obj_description(g.oid, 'pg_trigger')
    )
    FROM relation AS r JOIN pg_trigger AS g ON g.tgrelid = r.oid WHERE NOT tgisinternal
"""

_POLICY = """
    SELECT 'policy', quote_ident(polname), r.name, jsonb_build_object(
        'restrictive', nullif(NOT polpermissive, false),
        'command', CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                               WHEN 'd' THEN 'DELETE' END,
        'roles', (
            SELECT jsonb_agg(quote_ident(rolname) ORDER BY rolname)
            FROM pg_roles AS role WHERE role.oid = ANY (polroles)
        ),
        'using', pg_get_expr(polqual, polrelid, true),
        'check', pg_get_expr(polwithcheck, polrelid, true),
        'comment', obj_description(p.oid, 'pg_policy')
    )
    FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
"""

_RULE = """
    SELECT 'rule', quote_ident(rulename), r.name, jsonb_build_object('definition', pg_get_ruledef(w.oid, true))
    FROM relation AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid WHERE rulename <> '_RETURN'
"""

_SEQUENCE = """
    SELECT 'sequence', name, NULL, jsonb_build_object(
        'type', format_type(seqtypid, NULL), 'start', seqstart, 'increment', seqincrement, 'min', seqmin,
        'max', seqmax, 'cache', seqcache, 'cycle', nullif(seqcycle, false),
        'owned_by', (
            SELECT refobjid::regclass::text || '.' || quote_ident(attname)
            FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
            WHERE classid = 'pg_class'::regclass AND objid = r.oid AND deptype IN ('a', 'i')
        ),
        'comment', obj_description(r.oid, 'pg_class')
    )
    FROM relation AS r JOIN pg_sequence ON seqrelid = r.oid
"""

# Types, operators, statistics and whatever else may live in a schema: that it is there is all that is said of it.
_OTHER = """
    SELECT object.type, object.identity, NULL, '{}'::jsonb
    FROM namespace AS n
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS object
    WHERE NOT EXISTS (SELECT FROM members AS m WHERE m.classid = d.classid AND m.objid = d.objid)
      AND d.classid NOT IN ('pg_proc'::regclass, 'pg_extension'::regclass)
      AND NOT EXISTS (
        SELECT FROM pg_class AS c
        WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid
          AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I')
      )
"""

_GRANT = f"""
    SELECT 'grant', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, object,
        jsonb_build_object('privileges', jsonb_agg(
            privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END ORDER BY privilege_type
        ))
    FROM (
        SELECT 'schema ' || quote_ident(nspname), nspacl, nspowner FROM namespace
        UNION ALL SELECT {_RELATION_KIND} || ' ' || name, relacl, relowner FROM relation
        UNION ALL
        SELECT 'column ' || r.name || '.' || quote_ident(attname), attacl, relowner
        FROM relation AS r JOIN pg_attribute ON attrelid = r.oid AND NOT attisdropped
        UNION ALL
        SELECT {_ROUTINE_KIND} || ' ' || name, coalesce(proacl, acldefault('f', proowner)), proowner FROM routine
    ) AS granted (object, acl, owner)
    CROSS JOIN LATERAL aclexplode(acl)
    WHERE grantee <> owner AND grantee IS DISTINCT FROM (SELECT oid FROM owner)
    GROUP BY object, grantee
"""

# Row level security does not apply to these, whatever they were granted.
_ROLE = """
    SELECT DISTINCT 'role', quote_ident(rolname), NULL::text, '{"bypasses_row_level_security": true}'::jsonb
    FROM relation CROSS JOIN LATERAL aclexplode(relacl) JOIN pg_roles AS role ON role.oid = grantee
    WHERE rolbypassrls AND NOT rolsuper
"""

DESCRIBE = text(
    f"WITH {_WITH} SELECT kind, name, on_object, jsonb_strip_nulls(attributes) AS attributes FROM ("
    + " UNION ALL ".join(
        f"SELECT * FROM ({part}) AS part (kind, name, on_object, attributes)"
        for part in (
            _SCHEMA,
            _EXTENSION,
            _TABLE,
            _COLUMN,
            _CONSTRAINT,
            _INDEX,
            _FUNCTION,
            _TRIGGER,
            _POLICY,
            _RULE,
            _SEQUENCE,
            _OTHER,
            _GRANT,
            _ROLE,
        )
    )
    + ") AS objects"
)

OWNER = text(f"WITH {_WITH} SELECT quote_ident(pg_get_userbyid(oid)) FROM owner")
