"""Which way a search of embeddings goes: comparing all of them, or walking the index of their model.

Serves: similarity_search and explain_similarity_search.
Cost: functions.
Refused: the planner's own choice (it does not know that an index returns too little); counting a tenant's embeddings
for each search.

An index of a model is found by its name, ix_embeddings_METHOD[_halfvec]_HASH, where HASH is the first twelve digits of
the sha256 of the model's name.
"""

from __future__ import annotations

from alembic import op

revision = "0025_embedding_plans"
down_revision = "0024_rebuild_vector_indexes"
branch_labels = None
depends_on = None
level = "reversible"

EMBEDDING_INDEX = """
CREATE FUNCTION memstore.embedding_index(
    model text, OUT name text, OUT method text, OUT type text, OUT indexed_rows bigint, OUT lists integer
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.relname::text, wanted.method, wanted.type, greatest(c.reltuples, 0)::bigint,
           coalesce((SELECT option_value::integer FROM pg_options_to_table(c.reloptions)
                     WHERE option_name = 'lists'), 100)
    FROM (VALUES (1, 'hnsw', 'vector', ''), (2, 'hnsw', 'halfvec', '_halfvec'),
                 (3, 'ivfflat', 'vector', ''), (4, 'ivfflat', 'halfvec', '_halfvec')
         ) AS wanted (place, method, type, suffix)
    JOIN pg_class AS c ON c.oid = to_regclass(
        'memstore.ix_embeddings_' || wanted.method || wanted.suffix || '_'
        || left(encode(sha256(convert_to(embedding_index.model, 'UTF8')), 'hex'), 12))
    JOIN pg_index AS i ON i.indexrelid = c.oid
    WHERE i.indisvalid AND i.indrelid = 'memstore.embeddings'::regclass
    ORDER BY wanted.place LIMIT 1;
END
"""

# The statistics of a table with row level security are shown to those alone whom it does not confine.
EMBEDDING_ROWS = """
CREATE FUNCTION memstore.embedding_rows(tenant uuid, model text, of_source_type text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    share double precision := 1;
    asked record;
    known record;
BEGIN
    IF tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RETURN 0;
    END IF;
    FOR asked IN SELECT * FROM (VALUES ('tenant_id', tenant::text), ('model', model), ('source_type', of_source_type))
                              AS v (name, value)
                 WHERE v.value IS NOT NULL
    LOOP
        SELECT array_position(s.most_common_vals::text::text[], asked.value) AS place, s.most_common_freqs AS shares,
               CASE WHEN s.n_distinct > 0 THEN s.n_distinct ELSE 1000 END AS distinct_values
        INTO known
        FROM pg_stats AS s
        WHERE s.schemaname = 'memstore' AND s.tablename = 'embeddings' AND s.attname = asked.name;
        share := share * CASE WHEN known IS NULL THEN 0
                              WHEN known.place IS NOT NULL THEN known.shares[known.place]
                              ELSE (1 - coalesce((SELECT sum(f) FROM unnest(known.shares) AS f), 0))
                                   / greatest(known.distinct_values - coalesce(cardinality(known.shares), 0), 1) END;
    END LOOP;
    RETURN share * greatest((SELECT reltuples FROM pg_class WHERE oid = 'memstore.embeddings'::regclass), 0);
END
$$
"""

# An exact comparison reads a row in 6 us (1,024 dimensions, 8 KiB), a walk of the graph meets one in 15 us, other
# tenants' too, and starts with 1 ms: what is compared here is in units of an exact row.
EMBEDDING_SEARCH_PLAN = """
CREATE FUNCTION memstore.embedding_search_plan(plan text, scope_rows bigint, indexed_rows bigint, candidates integer)
RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN plan IN ('exact', 'bits') OR indexed_rows IS NULL OR candidates IS NULL THEN 'exact'
        WHEN plan = 'index' THEN 'index'
        WHEN scope_rows < 1000 THEN 'exact'
        WHEN 200 + 2.5 * candidates / least(1, scope_rows::double precision / greatest(indexed_rows, 1)) < scope_rows
            THEN 'index'
        ELSE 'exact' END;
END
"""

# How many rows a tenant has is asked only where an index could be walked, or somebody wants to know.
PLAN_EMBEDDING_SEARCH = """
CREATE FUNCTION memstore.plan_embedding_search(
    tenant uuid, model text, wanted integer, of_source_type text, of_source_id text, wish text, explained boolean,
    OUT plan text, OUT candidates integer, OUT index_name text, OUT indexed_rows bigint, OUT scope_rows bigint
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF (wish IN ('auto', 'exact', 'bits', 'index')) IS NOT TRUE THEN
        RAISE EXCEPTION 'there is no plan %', quote_nullable(wish)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name one of: auto, exact, bits, index.';
    END IF;
    candidates := CASE WHEN wanted <= 100000 THEN wanted + greatest(30, wanted / 2) END;
    IF of_source_id IS NULL AND wish IN ('auto', 'index') THEN
        SELECT i.name, i.indexed_rows INTO index_name, indexed_rows
        FROM memstore.embedding_index(plan_embedding_search.model) AS i;
    END IF;
    IF index_name IS NOT NULL OR explained THEN
        scope_rows := memstore.embedding_rows(tenant, plan_embedding_search.model, of_source_type);
    END IF;
    plan := memstore.embedding_search_plan(wish, scope_rows, indexed_rows, candidates);
END
$$
"""

FUNCTIONS = {
    "embedding_index(text)": (EMBEDDING_INDEX, "the valid vector index of a model that a search takes"),
    "embedding_rows(uuid, text, text)": (
        EMBEDDING_ROWS,
        "how many embeddings by a model the tenant that is set has, of a source type, as the statistics of the table "
        "know it",
    ),
    "embedding_search_plan(text, bigint, bigint, integer)": (
        EMBEDDING_SEARCH_PLAN,
        "exact or index: what a search for so many candidates among scope_rows of the indexed_rows of a model does",
    ),
    "plan_embedding_search(uuid, text, integer, text, text, text, boolean)": (
        PLAN_EMBEDDING_SEARCH,
        "exact or index, whichever is thought to take less, and by what numbers",
    ),
}

# Whoever may read embeddings may search them, also after an upgrade; nobody else may use the rights of the owner.
GRANT_DEFINER = """
DO $$
DECLARE
    reader text;
BEGIN
    REVOKE EXECUTE ON FUNCTION memstore.{function} FROM PUBLIC;
    FOR reader IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
        WHERE pg_class.oid = 'memstore.embeddings'::regclass AND privilege_type = 'SELECT' AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION memstore.{function} TO %s', reader);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    for function, (definition, comment) in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")
        if "SECURITY DEFINER" in definition:
            op.execute(GRANT_DEFINER.format(function=function))


def downgrade() -> None:
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
