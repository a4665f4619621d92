"""Build the vector indexes anew from SQL: rebuild_vector_indexes.

Serves: whoever has no command line at hand, pg_cron among them. IVFFlat wants it when its rows have changed.
Cost: a function only. It locks out whoever writes while an index is built: on a database in use it is
`memstore index rebuild`, which does not, and which also decides anew how many lists an index has.
Refused: building what is missing (which index is right is decided by the index manager, from rows and memory).
"""

from __future__ import annotations

from alembic import op

revision = "0024_rebuild_vector_indexes"
down_revision = "0023_hybrid_search"
branch_labels = None
depends_on = None
level = "reversible"

# The key of the advisory lock is that of migrations and of the index manager: one at a time changes a schema.
REBUILD_VECTOR_INDEXES = r"""
CREATE FUNCTION memstore.rebuild_vector_indexes()
RETURNS TABLE (index_name text, table_name text, action text, seconds double precision)
LANGUAGE plpgsql
AS $$
DECLARE
    owner oid := (SELECT relowner FROM pg_class WHERE oid = 'memstore.memory_nodes'::regclass);
    found record;
    began timestamptz;
BEGIN
    IF NOT pg_has_role(owner, 'USAGE') THEN
        RAISE EXCEPTION 'only the owner of the tables builds their indexes, which is %, not %',
            pg_get_userbyid(owner), current_user USING ERRCODE = 'insufficient_privilege';
    ELSIF NOT pg_try_advisory_xact_lock(347032388390615081) THEN
        RAISE EXCEPTION 'somebody else builds indexes or migrates at the moment'
            USING ERRCODE = 'lock_not_available', HINT = 'Wait for it, and call this again.';
    END IF;
    FOR found IN
        SELECT c.oid, c.relname, t.relname AS on_table,
               i.indisvalid AND c.relname !~ '_(new|old|cc(new|old)\d*)$' AS is_kept
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_class AS t ON t.oid = i.indrelid
        JOIN pg_am AS m ON m.oid = c.relam
        WHERE t.relnamespace = 'memstore'::regnamespace AND m.amname IN ('hnsw', 'ivfflat')
          AND c.relname ~ ('^(ix_(memory_nodes|episodic_memories)_embedding_(hnsw|ivfflat)(_halfvec)?'
                           '|ix_embeddings_(hnsw|ivfflat)(_halfvec)?_[0-9a-f]{12})(_new|_old|_cc(new|old)\d*)?$')
        ORDER BY t.relname, c.relname COLLATE "C"
    LOOP
        began := clock_timestamp();
        IF found.is_kept THEN
            EXECUTE format('REINDEX INDEX memstore.%I', found.relname);
            EXECUTE format('COMMENT ON INDEX memstore.%I IS %L', found.relname, jsonb_build_object(
                'rows', (SELECT reltuples::bigint FROM pg_class WHERE oid = found.oid),
                'built_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"')
            ));
            action := 'rebuilt';
        ELSE
            EXECUTE format('DROP INDEX memstore.%I', found.relname);
            action := 'dropped';
        END IF;
        index_name := found.relname;
        table_name := found.on_table;
        seconds := extract(epoch FROM clock_timestamp() - began);
        RETURN NEXT;
    END LOOP;
END
$$
"""

COMMENT = (
    "builds the vector indexes that there are anew, in the transaction of the caller, who owns the tables, and drops "
    "what killed runs left of them; nobody can write meanwhile: on a database in use type memstore index rebuild"
)


def upgrade() -> None:
    op.execute(REBUILD_VECTOR_INDEXES)
    op.execute(f"COMMENT ON FUNCTION memstore.rebuild_vector_indexes() IS '{COMMENT}'")


def downgrade() -> None:
    op.execute("DROP FUNCTION memstore.rebuild_vector_indexes()")
