"""Search embeddings through the index of their model, and by their words: hybrid_search_embeddings.

Serves: similarity_search, which compared all embeddings of a tenant by a model, and the same by vector and words.
Cost: a GIN index, built concurrently, some 600 bytes a row with a text of 60 words; functions.
Before, 28,000 of 50,000 embeddings of 1,024 dimensions: 193 ms. After, with an HNSW index: 4 ms, recall@10 0.99; with
12,500 of them 109 ms and 7 ms (recall 1.00), with 5,000 38 ms and 12 ms (1.00). Smaller tenants stay exact.
Refused: the planner's own choice (it does not know that an index returns too little); the bits of memory_nodes
(embeddings have as many widths as there are models); counting words with each write.

An index of a model is found by its name, ix_embeddings_METHOD[_halfvec]_HASH, where HASH is the first twelve digits of
the sha256 of the model's name; PostgreSQL takes a partial index of expressions only where the very same constants are
in the query, so that this one is put together as text.
"""

from __future__ import annotations

from alembic import op

revision = "0021_embedding_search"
down_revision = "0020_rebuild_vector_indexes"
branch_labels = None
depends_on = None
level = "reversible"

INDEX = "ix_embeddings_search_vector"

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
CREATE FUNCTION memstore.embedding_rows(tenant uuid, of_source_type text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    share double precision := 1;
    asked record;
    known record;
BEGIN
    IF tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RETURN 0;
    END IF;
    FOR asked IN SELECT * FROM (VALUES ('tenant_id', tenant::text), ('source_type', of_source_type)) AS v (name, value)
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
        'ORDER BY e.embedding::%1$s.%3$s(%4$s) OPERATOR(%1$s.<=>) $2::%1$s.%3$s(%4$s) LIMIT $4',
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
    candidates integer := wanted + greatest(30, wanted / 2);
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
        scope := CASE WHEN indexed IS NULL THEN 0 ELSE memstore.embedding_rows(tenant, of_source_type) END;
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

EMBEDDING_SIMILARITIES = """
CREATE FUNCTION memstore.embedding_similarities(tenant uuid, ids uuid[], query vector)
RETURNS TABLE (id uuid, similarity double precision)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.id, 1 - (e.embedding <=> query) FROM memstore.embeddings AS e
    WHERE e.tenant_id = tenant AND e.id = ANY (ids);
END
"""

# The first rows by id, which is random, are the sample: it is all rows where there are no more, and the same rows each
# time, so that a score is the same number each time.
EMBEDDING_WORDS = """
CREATE FUNCTION memstore.embedding_words(tenant uuid, model text, query_text text)
RETURNS TABLE (query tsquery, documents double precision, total double precision, is_counted boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH word AS MATERIALIZED (
        SELECT array_to_tsvector(ARRAY[lexeme])::text::tsquery AS query, lexeme
        FROM unnest(tsvector_to_array(to_tsvector('english', left(query_text, 100000)))) AS lexeme
    ), document AS MATERIALIZED (
        SELECT e.search_vector FROM memstore.embeddings AS e
        WHERE e.tenant_id = tenant AND e.model = embedding_words.model AND EXISTS (SELECT FROM word)
        ORDER BY e.id LIMIT 2001
    ), seen AS MATERIALIZED (
        SELECT count(*) AS documents, count(*) <= 2000 AS is_all FROM document
    ), known AS MATERIALIZED (
        SELECT CASE WHEN seen.is_all THEN seen.documents
                    ELSE greatest(seen.documents, memstore.embedding_rows(tenant)) END AS total
        FROM seen
    ), found AS MATERIALIZED (
        SELECT word.query, word.lexeme, (SELECT count(*) FROM document WHERE search_vector @@ word.query) AS documents
        FROM word ORDER BY documents, word.lexeme COLLATE "C" LIMIT 64
    )
    SELECT found.query,
           CASE WHEN seen.is_all THEN found.documents
                ELSE least((found.documents + 0.5) / seen.documents, 1) * known.total END,
           known.total, seen.is_all
    FROM found CROSS JOIN seen CROSS JOIN known ORDER BY found.documents, found.lexeme COLLATE "C"
$$
"""

# What a row costs here, it costs whatever else it holds: words are looked up while they are in 1,000 rows at most,
# the rarest first, and rows that have nothing but common ones are taken as they come.
EMBEDDING_COVERAGES = """
CREATE FUNCTION memstore.embedding_coverages(
    tenant uuid, model text, query_text text, of_source_type text, of_source_id text, others uuid[]
) RETURNS TABLE (id uuid, coverage double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    most_rows CONSTANT integer := 1000;
    of_scope CONSTANT text := ' FROM memstore.embeddings AS e WHERE e.tenant_id = $1 AND e.model = $2';
    of_source CONSTANT text := ' AND ($5 IS NULL OR e.source_type = $5) AND ($6 IS NULL OR e.source_id = $6)';
    queries tsquery[];
    documents double precision[];
    total double precision;
    is_counted boolean;
    rare integer;
    ids uuid[];
    holders tsvector[];
    common text;
    weights double precision[];
BEGIN
    IF tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RAISE EXCEPTION 'the tenant % is not the one that is set', coalesce(tenant::text, 'NULL')
            USING ERRCODE = 'insufficient_privilege', HINT = 'Call memstore.hybrid_search_embeddings().';
    END IF;
    SELECT array_agg(w.query), array_agg(w.documents), max(w.total), bool_and(w.is_counted)
    INTO queries, documents, total, is_counted
    FROM memstore.embedding_words(tenant, embedding_coverages.model, query_text) AS w;
    IF queries IS NULL THEN
        RETURN;
    END IF;

    IF NOT is_counted THEN
        rare := (SELECT count(*) FROM (SELECT sum(d) OVER (ORDER BY place) AS rows
                                       FROM unnest(documents) WITH ORDINALITY AS u (d, place)) AS s
                 WHERE s.rows <= most_rows);
        EXECUTE 'SELECT array_agg(h.id), array_agg(h.search_vector) FROM (SELECT e.id, e.search_vector' || of_scope
             || ' AND e.search_vector @@ $3 LIMIT $4) AS h'
        INTO ids, holders
        USING tenant, embedding_coverages.model, array_to_string(queries[1:rare], ' | ')::tsquery, 4 * most_rows;
        IF coalesce(cardinality(ids), 0) < 4 * most_rows THEN
            documents := ARRAY(
                SELECT (SELECT count(*) FROM unnest(holders) AS holder WHERE holder @@ q.query)::double precision
                FROM unnest(queries[1:rare]) WITH ORDINALITY AS q (query, place) ORDER BY q.place
            ) || documents[rare + 1:];
        END IF;
        FOREACH common IN ARRAY ARRAY[' & ', ' | '] LOOP
            EXIT WHEN rare = cardinality(queries) OR coalesce(cardinality(ids), 0) >= most_rows;
            EXECUTE 'SELECT $7 || ARRAY(SELECT e.id' || of_scope || of_source || ' AND e.search_vector @@ $3 LIMIT $4)'
            INTO ids
            USING tenant, embedding_coverages.model, array_to_string(queries[rare + 1:], common)::tsquery,
                  most_rows - coalesce(cardinality(ids), 0), of_source_type, of_source_id, ids;
        END LOOP;
        ids := ids || others;
    END IF;

    weights := ARRAY(SELECT ln(1 + (total - d + 0.5) / (d + 0.5))
                     FROM unnest(documents) WITH ORDINALITY AS u (d, place) ORDER BY place);
    RETURN QUERY EXECUTE
        'SELECT e.id, coalesce((SELECT sum(w.idf) FROM unnest($3, $4) AS w (query, idf)'
        ' WHERE e.search_vector @@ w.query), 0) / (SELECT sum(idf) FROM unnest($4) AS idf)' || of_scope || of_source
        || CASE WHEN is_counted THEN ' AND (e.search_vector @@ $8 OR e.id = ANY ($7))' ELSE ' AND e.id = ANY ($7)' END
    USING tenant, embedding_coverages.model, queries, weights, of_source_type, of_source_id,
          CASE WHEN is_counted THEN others ELSE ids END, array_to_string(queries, ' | ')::tsquery;
END
$$
"""

EMBEDDING_HAS_COSINE = """
CREATE FUNCTION memstore.embedding_has_cosine(embedding vector) RETURNS boolean
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT (embedding <=> embedding) <> 'NaN'::double precision;
END
"""

CHECK_EMBEDDING_QUESTION = """
CREATE FUNCTION memstore.check_embedding_question(
    query_text text, query vector, match_count integer, vector_weight double precision, text_weight double precision
) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF query_text IS NULL AND query IS NULL THEN
        RAISE EXCEPTION 'neither query_text nor query is given' USING ERRCODE = 'null_value_not_allowed';
    ELSIF query IS NOT NULL AND NOT memstore.embedding_has_cosine(query) THEN
        RAISE EXCEPTION 'the query has no cosine: its length is zero or out of range'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF match_count IS NULL OR match_count NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'match_count is %, needed: 1 to 1000', coalesce(match_count::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF (vector_weight >= 0 AND text_weight >= 0 AND vector_weight + text_weight > 0
           AND vector_weight + text_weight < 'Infinity') IS NOT TRUE THEN
        RAISE EXCEPTION 'the weights are % and %, needed: finite, not negative, and not both zero',
            coalesce(vector_weight::text, 'NULL'), coalesce(text_weight::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$
"""

# An embedding that is not among the nearest is at most as similar as the last of them: where even that would not make
# it one of the best, its vector is not read.
HYBRID_SEARCH_EMBEDDINGS = """
CREATE FUNCTION memstore.hybrid_search_embeddings(
    tenant uuid, model text, query_text text DEFAULT NULL, query vector DEFAULT NULL, match_count integer DEFAULT 10,
    vector_weight double precision DEFAULT 0.7, text_weight double precision DEFAULT 0.3,
    of_source_type text DEFAULT NULL, of_source_id text DEFAULT NULL, min_score double precision DEFAULT NULL,
    plan text DEFAULT 'auto'
) RETURNS TABLE (
    id uuid, source_type varchar, source_id varchar, chunk_index integer, content text, metadata jsonb,
    score double precision, vector_score double precision, text_score double precision, found_by text
)
LANGUAGE plpgsql STABLE ROWS 10
AS $$
#variable_conflict use_column
DECLARE
    before text := current_setting('memstore.tenant_id', true);
    near uuid[];
    near_similarities double precision[];
    holders uuid[];
    coverages double precision[];
    has_words boolean := length(to_tsvector('pg_catalog.english', left(query_text, 100000))) > 0;
BEGIN
    PERFORM memstore.check_embedding_question(query_text, query, match_count, vector_weight, text_weight);
    IF query IS NOT NULL OR NOT EXISTS (
        SELECT FROM memstore.embedding_models AS m WHERE m.name = hybrid_search_embeddings.model
    ) THEN
        PERFORM memstore.check_embedding(hybrid_search_embeddings.model, query);
    END IF;
    IF NOT row_security_active('memstore.embeddings') THEN
        PERFORM set_config('memstore.tenant_id', coalesce(tenant::text, ''), true);
    ELSIF tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RETURN;
    END IF;

    IF query IS NOT NULL THEN
        SELECT array_agg(n.id), array_agg(n.similarity) INTO near, near_similarities
        FROM memstore.nearest_embeddings(
            tenant, hybrid_search_embeddings.model, query, greatest(50, 5 * match_count), of_source_type, of_source_id,
            plan) AS n;
    END IF;
    IF has_words THEN
        SELECT array_agg(c.id), array_agg(c.coverage) INTO holders, coverages
        FROM (SELECT * FROM memstore.embedding_coverages(
                  tenant, hybrid_search_embeddings.model, query_text, of_source_type, of_source_id, near) AS e
              ORDER BY e.coverage DESC, e.id LIMIT 2000) AS c;
    END IF;

    RETURN QUERY
        WITH vector_side AS (
            SELECT * FROM unnest(near, near_similarities) AS n (id, similarity)
        ), text_side AS (
            SELECT * FROM unnest(holders, coverages) AS t (id, coverage)
        ), known AS (
            SELECT vector_weight * (1 + n.similarity) / 2 + text_weight * coalesce(t.coverage, 0) AS sum
            FROM vector_side AS n LEFT JOIN text_side AS t ON t.id = n.id
        ), needed AS (
            SELECT coalesce((SELECT k.sum FROM known AS k ORDER BY k.sum DESC OFFSET match_count - 1 LIMIT 1), 0)
                   - vector_weight * (1 + (SELECT min(n.similarity) FROM vector_side AS n)) / 2 AS sum
        ), other AS (
            SELECT * FROM memstore.embedding_similarities(
                tenant, ARRAY(SELECT t.id FROM text_side AS t CROSS JOIN needed
                              WHERE query IS NOT NULL AND t.coverage > 0
                                AND text_weight * t.coverage >= needed.sum - 1e-9
                              EXCEPT SELECT n.id FROM vector_side AS n), query)
        ), candidate AS (
            SELECT coalesce(n.id, t.id) AS id, coalesce(n.similarity, o.similarity) AS similarity,
                   CASE WHEN has_words THEN coalesce(t.coverage, 0) END AS coverage,
                   n.id IS NOT NULL AS is_near, coalesce(t.coverage > 0, false) AS is_holder
            FROM vector_side AS n FULL JOIN text_side AS t ON t.id = n.id LEFT JOIN other AS o ON o.id = t.id
        ), scored AS (
            SELECT c.*, CASE
                WHEN query IS NULL THEN c.coverage
                WHEN query_text IS NULL THEN c.similarity
                WHEN NOT has_words THEN (1 + c.similarity) / 2
                ELSE (vector_weight * (1 + c.similarity) / 2 + text_weight * c.coverage)
                     / (vector_weight + text_weight) END AS fused
            FROM candidate AS c WHERE (c.is_near OR c.is_holder) AND (query IS NULL OR c.similarity IS NOT NULL)
        ), best AS (
            SELECT * FROM scored AS s WHERE min_score IS NULL OR s.fused >= min_score
            ORDER BY s.fused DESC, s.id LIMIT match_count
        )
        SELECT e.id, e.source_type, e.source_id, e.chunk_index, e.content, e.metadata, b.fused, b.similarity,
               b.coverage, CASE WHEN b.is_near AND b.is_holder THEN 'both' WHEN b.is_holder THEN 'text'
                           ELSE 'vector' END
        FROM best AS b JOIN memstore.embeddings AS e ON e.tenant_id = tenant AND e.id = b.id
        ORDER BY b.fused DESC, b.id;
    PERFORM set_config('memstore.tenant_id', coalesce(before, ''), true);
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
    "embedding_rows(uuid, text)": (
        EMBEDDING_ROWS,
        "how many embeddings the tenant that is set has, of a source type, as the statistics of the table know it",
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
    "embedding_similarities(uuid, uuid[], vector)": (EMBEDDING_SIMILARITIES, "how similar these embeddings are"),
    "embedding_words(uuid, text, text)": (
        EMBEDDING_WORDS,
        "the words of a question, at most the 64 rarest, the rarest first, in how many of the embeddings each is, "
        "counted or estimated, and how many there are",
    ),
    "embedding_coverages(uuid, text, text, text, text, uuid[])": (
        EMBEDDING_COVERAGES,
        "which share of the words of a question, by how rare they are, embeddings of the tenant that is set hold: "
        "those that hold some, and others; with the rights of its owner",
    ),
    "embedding_has_cosine(vector)": (EMBEDDING_HAS_COSINE, "whether a vector compares by its cosine with any other"),
    "check_embedding_question(text, vector, integer, double precision, double precision)": (
        CHECK_EMBEDDING_QUESTION,
        "raises unless hybrid_search_embeddings can take these",
    ),
    "hybrid_search_embeddings"
    "(uuid, text, text, vector, integer, double precision, double precision, text, text, double precision, text)": (
        HYBRID_SEARCH_EMBEDDINGS,
        "the embeddings of a tenant by a model that are nearest to query, that hold the words of query_text, or both, "
        "best first; scores are those of hybrid_search, words weighed by the embeddings of the tenant and the model",
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
    op.create_index_concurrently(INDEX, "embeddings", ["search_vector"], schema="memstore", using="gin")
    for function, (definition, comment) in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")
    for function in (each for each, (definition, _) in FUNCTIONS.items() if "SECURITY DEFINER" in definition):
        op.execute(GRANT_DEFINER.format(function=function))
    op.replace_function(SIMILARITY_SEARCH, before=SIMILARITY_SEARCH_BEFORE)
    op.execute(f"COMMENT ON FUNCTION memstore.{SIMILARITY.format(more=', text')} IS '{COMMENT}'")


def downgrade() -> None:
    op.drop_index_concurrently(INDEX, "embeddings", schema="memstore")
    op.replace_function(SIMILARITY_SEARCH_BEFORE, before=SIMILARITY_SEARCH)
    op.execute(f"COMMENT ON FUNCTION memstore.{SIMILARITY.format(more='')} IS '{COMMENT_BEFORE}'")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
