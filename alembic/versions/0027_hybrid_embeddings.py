"""Search embeddings by their words, and by vector and words: hybrid_search_embeddings.

Serves: the same questions over embeddings as hybrid_search answers over memories.
Cost: a GIN index, built concurrently, some 600 bytes a row with a text of 60 words; functions.
Refused: counting words with each write (a model has up to millions of embeddings, and few are asked for by words; the
words of a sample of 2,001 are counted at the time of the search).
"""

from __future__ import annotations

from alembic import op

revision = "0027_hybrid_embeddings"
down_revision = "0026_embedding_similarity"
branch_labels = None
depends_on = None
level = "reversible"

INDEX = "ix_embeddings_search_vector"

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
                    ELSE greatest(seen.documents, memstore.embedding_rows(tenant, embedding_words.model)) END AS total
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
            -- The statistics that it is from may be older than the rows: no word is in more of them than there are.
            total := greatest(total, (SELECT max(d) FROM unnest(documents) AS d));
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
        FROM memstore.embedding_coverages(
            tenant, hybrid_search_embeddings.model, query_text, of_source_type, of_source_id, near) AS c;
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

FUNCTIONS = {
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
        if "SECURITY DEFINER" in definition:
            op.execute(GRANT_DEFINER.format(function=function))


def downgrade() -> None:
    op.drop_index_concurrently(INDEX, "embeddings", schema="memstore")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
