"""Search embeddings through the index of their model: similarity_search.

Serves: similarity_search, which compared all embeddings of a tenant by a model; it is built on by hybrid search.
Cost: functions.
Before, 28,000 of 50,000 embeddings of 1,024 dimensions: 193 ms. After, with an HNSW index: 4 ms, recall@10 0.99; with
12,500 of them 109 ms and 7 ms (recall 1.00), with 5,000 38 ms and 12 ms (1.00). Smaller tenants stay exact.
Refused: the planner's own choice (it does not know that an index returns too little); the bits of memory_nodes
(embeddings have as many widths as there are models).

An index of a model is found by its name, ix_embeddings_METHOD[_halfvec]_HASH, where HASH is the first twelve digits of
the sha256 of the model's name; PostgreSQL takes a partial index of expressions only where the very same constants are
in the query, so that this one is put together as text.
"""

from __future__ import annotations

from alembic import op

revision = "0025_embedding_similarity"
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

EXACT_EMBEDDINGS = """
CREATE FUNCTION memstore.exact_embeddings(
    tenant uuid, model text, query vector, wanted integer, of_source_type text, of_source_id text
) RETURNS TABLE (id uuid, similarity double precision)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.id, s.similarity
    FROM memstore.embeddings AS e CROSS JOIN LATERAL (SELECT 1 - (e.embedding <=> query) AS similarity OFFSET 0) AS s
    WHERE e.tenant_id = tenant AND e.model = exact_embeddings.model
      AND (of_source_type IS NULL OR e.source_type = of_source_type)
      AND (of_source_id IS NULL OR e.source_id = of_source_id)
      AND s.similarity BETWEEN -1 AND 1
    ORDER BY s.similarity DESC, e.id
    LIMIT wanted;
END
"""

# With a length of one a query has a place among halfvecs: as it is, its numbers may be too large for them, or nothing.
WALK_EMBEDDING_INDEX = """
CREATE FUNCTION memstore.walk_embedding_index(
    tenant uuid, model text, query vector, candidates integer, share double precision, of_source_type text
) RETURNS TABLE (id uuid, similarity double precision)
LANGUAGE plpgsql STABLE SET enable_sort = off SET jit = off
AS $$
DECLARE
    index record := memstore.embedding_index(model);
    vectors text := (SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
                     WHERE extname = 'vector');
    settings jsonb;
    before jsonb;
BEGIN
    IF index.name IS NULL THEN
        RETURN;  -- it has been dropped since the plan was made
    END IF;
    settings := CASE index.method
        WHEN 'hnsw' THEN jsonb_build_object(
            'hnsw.iterative_scan', 'relaxed_order',
            'hnsw.ef_search', least(greatest(100, candidates), 1000),
            'hnsw.max_scan_tuples', least(greatest(20000, 4 * candidates / greatest(share, 1e-6)), 2e9)::bigint,
            'hnsw.scan_mem_multiplier', 8)
        ELSE jsonb_build_object(
            'ivfflat.iterative_scan', 'relaxed_order',
            'ivfflat.probes', least(index.lists, greatest(10, ceil(2 * sqrt(index.lists)))),
            'ivfflat.max_probes', index.lists)
        END;
    SELECT jsonb_object_agg(name, current_setting(name)) INTO before FROM jsonb_object_keys(settings) AS name;
    PERFORM set_config(name, value, true) FROM jsonb_each_text(settings) AS s (name, value);
    RETURN QUERY EXECUTE format(
        'SELECT e.id, 1 - (e.embedding OPERATOR(%1$s.<=>) $2) FROM memstore.embeddings AS e '
        'WHERE e.tenant_id = $1 AND e.model = %2$L AND ($3 IS NULL OR e.source_type = $3) '
        'ORDER BY e.embedding::%1$s.%3$s(%4$s) OPERATOR(%1$s.<=>) %1$s.l2_normalize($2)::%1$s.%3$s(%4$s) '
        'LIMIT $4',
        vectors, model, index.type, (SELECT dimensions FROM memstore.embedding_models AS m WHERE m.name = model))
    USING tenant, query, of_source_type, candidates;
    PERFORM set_config(name, value, true) FROM jsonb_each_text(before) AS s (name, value);
END
$$
"""

NEAREST_EMBEDDINGS = """
CREATE FUNCTION memstore.nearest_embeddings(
    tenant uuid, model text, query vector, wanted integer, of_source_type text DEFAULT NULL,
    of_source_id text DEFAULT NULL, plan text DEFAULT 'auto'
) RETURNS TABLE (id uuid, similarity double precision)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    candidates integer := CASE WHEN wanted <= 100000 THEN wanted + greatest(30, wanted / 2) END;
    indexed bigint;
    scope bigint;
    ids uuid[];
    similarities double precision[];
BEGIN
    IF (plan IN ('auto', 'exact', 'bits', 'index')) IS NOT TRUE THEN
        RAISE EXCEPTION 'there is no plan %', quote_nullable(plan)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name one of: auto, exact, bits, index.';
    END IF;
    IF of_source_id IS NULL AND plan IN ('auto', 'index') THEN
        indexed := (SELECT i.indexed_rows FROM memstore.embedding_index(nearest_embeddings.model) AS i);
        scope := CASE WHEN indexed IS NULL THEN 0 ELSE memstore.embedding_rows(
            tenant, nearest_embeddings.model, of_source_type) END;
    END IF;
    IF memstore.embedding_search_plan(plan, scope, indexed, candidates) = 'index' THEN
        SELECT array_agg(w.id), array_agg(w.similarity) INTO ids, similarities
        FROM memstore.walk_embedding_index(tenant, nearest_embeddings.model, query, candidates,
                                           scope::double precision / greatest(indexed, 1), of_source_type) AS w
        WHERE w.similarity BETWEEN -1 AND 1;
        IF cardinality(ids) >= candidates THEN
            RETURN QUERY SELECT n.id, n.similarity FROM unnest(ids, similarities) AS n (id, similarity)
                         ORDER BY n.similarity DESC, n.id LIMIT wanted;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT n.id, n.similarity
                 FROM memstore.exact_embeddings(tenant, nearest_embeddings.model, query, wanted, of_source_type,
                                                of_source_id) AS n;
END
$$
"""

SIMILARITY_SEARCH = """
CREATE FUNCTION memstore.similarity_search(
    tenant uuid, model text, query vector, threshold double precision DEFAULT -1, match_count integer DEFAULT 10,
    of_source_type text DEFAULT NULL, of_source_id text DEFAULT NULL, plan text DEFAULT 'auto'
) RETURNS TABLE (
    id uuid, source_type varchar, source_id varchar, chunk_index integer, content text, metadata jsonb,
    similarity double precision
)
LANGUAGE plpgsql STABLE ROWS 10
AS $$
#variable_conflict use_column
DECLARE
    before text := current_setting('memstore.tenant_id', true);
BEGIN
    PERFORM memstore.check_embedding(similarity_search.model, query);
    IF NOT row_security_active('memstore.embeddings') THEN
        PERFORM set_config('memstore.tenant_id', coalesce(tenant::text, ''), true);
    ELSIF tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT e.id, e.source_type, e.source_id, e.chunk_index, e.content, e.metadata, n.similarity
        FROM memstore.nearest_embeddings(
            tenant, similarity_search.model, query, match_count, of_source_type, of_source_id, plan) AS n
        JOIN memstore.embeddings AS e ON e.tenant_id = tenant AND e.id = n.id
        WHERE n.similarity >= threshold
        ORDER BY n.similarity DESC, n.id;
    PERFORM set_config('memstore.tenant_id', coalesce(before, ''), true);
END
$$
"""

SIMILARITY_SEARCH_BEFORE = """
CREATE FUNCTION memstore.similarity_search(
    tenant uuid, model text, query vector, threshold double precision DEFAULT -1, match_count integer DEFAULT 10,
    of_source_type text DEFAULT NULL, of_source_id text DEFAULT NULL
) RETURNS TABLE (
    id uuid, source_type varchar, source_id varchar, chunk_index integer, content text, metadata jsonb,
    similarity double precision
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT memstore.check_embedding(model, query);
    SELECT e.id, e.source_type, e.source_id, e.chunk_index, e.content, e.metadata, s.similarity
    FROM memstore.embeddings AS e CROSS JOIN LATERAL (SELECT 1 - (e.embedding <=> query) AS similarity OFFSET 0) AS s
    WHERE e.tenant_id = tenant AND e.model = similarity_search.model
      AND (of_source_type IS NULL OR e.source_type = of_source_type)
      AND (of_source_id IS NULL OR e.source_id = of_source_id)
      AND s.similarity BETWEEN threshold AND 1
    ORDER BY s.similarity DESC, e.id
    LIMIT match_count;
END
"""

NEAREST = "uuid, text, vector, integer, text, text"
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
    f"exact_embeddings({NEAREST})": (EXACT_EMBEDDINGS, "the nearest embeddings, all of them compared"),
    "walk_embedding_index(uuid, text, vector, integer, double precision, text)": (
        WALK_EMBEDDING_INDEX,
        "the first candidates that the index of the model has for a tenant with this share of it, with their exact "
        "similarity; fewer where it gives up",
    ),
    f"nearest_embeddings({NEAREST}, text)": (
        NEAREST_EMBEDDINGS,
        "the nearest embeddings of a tenant, by the plan auto, exact or index; never fewer than there are",
    ),
}
SIMILARITY = "similarity_search(uuid, text, vector, double precision, integer, text, text{more})"
COMMENT_BEFORE = (
    "the embeddings of a tenant by a model that are nearest to query, best first, at most match_count; similarity "
    "is 1 - cosine distance, whatever the distance of the model, from -1 to 1, and at least threshold; exact, by "
    "comparing all of them"
)
COMMENT = (
    "the embeddings of a tenant by a model that are nearest to query, best first, at most match_count; similarity "
    "is 1 - cosine distance, whatever the distance of the model, from -1 to 1, and at least threshold; plan is auto, "
    "exact (all are compared) or index (that of the model is walked, where there is one)"
)

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
    op.replace_function(SIMILARITY_SEARCH, before=SIMILARITY_SEARCH_BEFORE)
    op.execute(f"COMMENT ON FUNCTION memstore.{SIMILARITY.format(more=', text')} IS '{COMMENT}'")


def downgrade() -> None:
    op.replace_function(SIMILARITY_SEARCH_BEFORE, before=SIMILARITY_SEARCH)
    op.execute(f"COMMENT ON FUNCTION memstore.{SIMILARITY.format(more='')} IS '{COMMENT_BEFORE}'")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
