"""Memories that hold words of a question, by the share of its rare words.

Serves: hybrid_search.
Cost: functions only.
Refused: ts_rank, whose numbers mean something else for each question; words joined by AND, which find next to nothing
for a question as somebody asks it.
"""

from __future__ import annotations

from alembic import op

revision = "0022_word_search"
down_revision = "0021_search_plans"
branch_labels = None
depends_on = None
level = "reversible"

# As in 0020_vector_search.
SETTINGS = """
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = on SET enable_bitmapscan = on SET enable_sort = on SET enable_hashjoin = on
SET enable_mergejoin = on SET work_mem = '64MB'"""

# A lexeme as the query for it, written by PostgreSQL itself: whatever is in it, it is one lexeme.
WORD_QUERY = """
CREATE FUNCTION memstore.word_query(lexemes text[], operator text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text, operator)::tsquery FROM unnest(lexemes) AS lexeme
$$
"""

# The parameters: 1 to 4 as of vector_statement; 5 how many candidates; 6 the queries of all words, 7 in how many
# memories each is, or NULL where that is counted here, and 8 in how many it could be; 9 what to look for; 10 and 11 the
# weights; 12 how many are wanted in the end; 13 how many rows to look at.
#
# Among those that hold the same words the nearer ones are meant. How near is known from the bits, give or take: whoever
# may still be among the best is a candidate.
WORDS_STATEMENT = r"""
CREATE FUNCTION memstore.words_statement(source text, conditions text, live text, words integer) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'WITH matched AS MATERIALIZED (
        SELECT m.id, m.deleted_at IS NULL AS live, (' || conditions || ') AS inside,
            memstore.differing_bits(m.embedding_bits, $4) AS distance, ' || (
                SELECT string_agg(
                    format('((m.search_vector @@ ($6)[%s])::integer::bigint << %s)', place, place - 1), ' | '
                    ORDER BY place
                ) FROM generate_series(1, words) AS place
            ) || ' AS held
        FROM ' || CASE source
            WHEN 'tenant' THEN '(SELECT * FROM memstore.memory_nodes AS m WHERE m.tenant_id = $1' || live
                || ' OFFSET 0) AS m WHERE m.search_vector @@ $9'
            WHEN 'scope' THEN '(SELECT * FROM memstore.memory_nodes AS m WHERE ' || conditions
                || ' OFFSET 0) AS m WHERE m.search_vector @@ $9'
            WHEN 'words' THEN '(SELECT * FROM memstore.memory_nodes AS m WHERE m.tenant_id = $1' || live
                || ' AND m.search_vector @@ $9 LIMIT $13) AS m'
            WHEN 'some' THEN '(SELECT * FROM memstore.memory_nodes AS m WHERE ' || conditions
                || ' AND m.search_vector @@ $9 LIMIT $13) AS m'
            WHEN 'sample' THEN '(SELECT * FROM memstore.memory_nodes AS m WHERE m.tenant_id = $1' || live
                || ' ORDER BY m.id LIMIT $13) AS m'
            END || '
    ), combination AS MATERIALIZED (
        SELECT held, count(*) FILTER (WHERE live) AS documents FROM matched GROUP BY held
    ), word AS MATERIALIZED (
        SELECT w.place, coalesce(w.documents, (
            SELECT sum(c.documents) FROM combination AS c WHERE c.held >> (w.place - 1)::integer & 1 = 1
        )::float8, 0) AS documents
        FROM unnest($7) WITH ORDINALITY AS w (documents, place)
    ), weight AS MATERIALIZED (
        SELECT array_agg(documents ORDER BY place) AS documents, array_agg(idf ORDER BY place) AS idf,
            sum(idf ORDER BY place) AS whole
        FROM word CROSS JOIN LATERAL (
            SELECT ln(1 + (greatest($8, documents) - documents + 0.5) / (documents + 0.5)) AS idf
        ) AS w
    ), covered AS MATERIALIZED (
        SELECT c.held, (
            SELECT sum(i.idf ORDER BY i.place) FROM unnest(weight.idf) WITH ORDINALITY AS i (idf, place)
            WHERE c.held >> (i.place - 1)::integer & 1 = 1
        ) / weight.whole AS coverage
        FROM combination AS c CROSS JOIN weight WHERE c.held <> 0
    ), estimated AS MATERIALIZED (
        SELECT m.id, covered.coverage, CASE WHEN $4 IS NULL THEN covered.coverage ELSE (
                $10 * coalesce((1 + cos(pi() * m.distance / memstore.vector_width($4))) / 2, 0) + $11 * covered.coverage
            ) / ($10 + $11) END AS score
        FROM matched AS m JOIN covered ON covered.held = m.held WHERE m.inside
    ), best AS (
        SELECT e.id, e.coverage FROM estimated AS e
        WHERE $4 IS NULL OR e.score >= coalesce((
            SELECT each.score FROM estimated AS each ORDER BY each.score DESC OFFSET $12 - 1 LIMIT 1
        ) - 4 * $10 / ($10 + $11) / sqrt(memstore.vector_width($4)), 0)
        ORDER BY e.score DESC, e.id COLLATE "C" LIMIT $5
    )
    SELECT weight.documents, weight.idf, weight.whole, found.ids, found.coverages
    FROM weight CROSS JOIN (
        SELECT array_agg(best.id) AS ids, array_agg(best.coverage) AS coverages FROM best
    ) AS found'
$$
"""

# The 64 rarest, in a fixed order: a sum of floats depends on it.
SEARCH_WORDS = """
CREATE FUNCTION memstore.search_words(
    tenant uuid, query_text text, text_plan text, OUT lexemes text[],
    OUT documents double precision[]
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    most CONSTANT integer := 64;
BEGIN
    lexemes := tsvector_to_array(to_tsvector('english', left(query_text, 100000)));
    IF text_plan = 'tenant' AND cardinality(lexemes) > most THEN
        lexemes := ARRAY(
            SELECT l.lexeme FROM unnest(lexemes) AS l (lexeme) LEFT JOIN (
                SELECT held.lexeme, count(*) AS documents
                FROM memstore.memory_nodes AS m CROSS JOIN unnest(tsvector_to_array(m.search_vector)) AS held (lexeme)
                WHERE m.tenant_id = tenant AND m.deleted_at IS NULL GROUP BY held.lexeme
            ) AS known ON known.lexeme = l.lexeme
            ORDER BY known.documents NULLS FIRST, l.lexeme COLLATE "C" LIMIT most
        );
    END IF;
    SELECT array_agg(w.lexeme), array_agg(w.documents) INTO lexemes, documents
    FROM (
        SELECT l.lexeme, s.documents::double precision AS documents
        FROM unnest(lexemes) AS l (lexeme)
        LEFT JOIN memstore.word_statistics AS s
            ON text_plan <> 'tenant' AND s.tenant_id = tenant AND s.lexeme = l.lexeme
        ORDER BY s.documents NULLS FIRST, l.lexeme COLLATE "C" LIMIT most
    ) AS w;
END
$$
"""

# Few memories: all of them are looked at. Many: those that hold the rarest words, as many words as are in so many rows
# together, through the index on words; a word that statistics do not list is in few, and is counted on the way.
# Where these are common all, or the scope has few of the rows, it goes on with rows that hold all words, then with
# those that hold the rarer ones, then any.
MEMORIES_BY_WORDS = f"""
CREATE FUNCTION memstore.memories_by_words(
    text_plan text, conditions text, tenant uuid, of_user uuid, filters jsonb, query_embedding vector,
    lexemes text[], listed double precision[], memories double precision, vector_weight double precision,
    text_weight double precision, wanted integer, OUT queries tsquery[], OUT idf double precision[],
    OUT whole double precision, OUT ids varchar[], OUT coverages double precision[]
)
LANGUAGE plpgsql STABLE{SETTINGS}
AS $$
DECLARE
    budget CONSTANT integer := 3000;
    sampled CONSTANT integer := 1000;
    live CONSTANT text := CASE WHEN (filters -> 'include_deleted')::boolean THEN ''
        ELSE ' AND m.deleted_at IS NULL' END;
    candidates CONSTANT integer := CASE WHEN query_embedding IS NULL THEN wanted ELSE greatest(500, 10 * wanted) END;
    words CONSTANT integer := cardinality(lexemes);
    documents double precision[] := listed;
    order_of_rarity text[];
    rare text[];
    source text;
    looked_for tsquery;
    found record;
BEGIN
    queries := ARRAY(
        SELECT memstore.word_query(ARRAY[l.lexeme], ' | ') FROM unnest(lexemes) WITH ORDINALITY AS l (lexeme, place)
        ORDER BY l.place
    );
    IF text_plan <> 'tenant' AND NOT EXISTS (SELECT FROM memstore.word_statistics AS w WHERE w.tenant_id = tenant) THEN
        EXECUTE memstore.words_statement('sample', conditions, live, words) INTO found
        USING tenant, of_user, filters, query_embedding, 0, queries, documents, memories, NULL::tsquery, vector_weight,
            text_weight, wanted, sampled;
        documents := ARRAY(
            SELECT CASE WHEN d.documents > 0.005 * sampled THEN d.documents * memories / sampled END
            FROM unnest(found.documents) WITH ORDINALITY AS d (documents, place) ORDER BY d.place
        );
    END IF;
    SELECT array_agg(r.lexeme ORDER BY r.documents NULLS FIRST, r.place),
        array_agg(r.lexeme ORDER BY r.place)
            FILTER (WHERE r.documents IS NULL OR text_plan = 'words' AND r.together <= budget)
    INTO order_of_rarity, rare
    FROM (
        SELECT l.lexeme, l.documents, l.place,
            sum(coalesce(l.documents, 0)) OVER (ORDER BY l.documents NULLS FIRST, l.place) AS together
        FROM unnest(lexemes, documents) WITH ORDINALITY AS l (lexeme, documents, place)
    ) AS r;

    ids := '{{}}';
    coverages := '{{}}';
    FOR source, looked_for IN
        SELECT step.source, step.query
        FROM (VALUES
            (1, 'words', CASE WHEN text_plan <> 'tenant' THEN memstore.word_query(rare, ' | ') END),
            (2, 'tenant', CASE WHEN text_plan = 'tenant' THEN memstore.word_query(lexemes, ' | ') END),
            (2, 'scope', CASE WHEN text_plan = 'scope' THEN memstore.word_query(lexemes, ' | ') END),
            (3, 'some', memstore.word_query(lexemes, ' & ')),
            (4, 'some', memstore.word_query(order_of_rarity[1:(words + 1) / 2], ' & ')),
            (5, 'some', memstore.word_query(order_of_rarity[1:1], ' & ')),
            (6, 'some', memstore.word_query(lexemes, ' | '))
        ) AS step (place, source, query)
        WHERE step.query IS NOT NULL ORDER BY step.place
    LOOP
        EXIT WHEN source = 'some'
            AND (text_plan <> 'words' OR cardinality(ids) >= wanted OR cardinality(rare) = words);
        EXECUTE memstore.words_statement(source, conditions, live, words) INTO found
        USING tenant, of_user, filters, query_embedding, candidates, queries, documents, memories, looked_for,
            vector_weight, text_weight, wanted, budget;
        documents := found.documents;
        idf := found.idf;
        whole := found.whole;
        SELECT coalesce(array_agg(u.id), '{{}}'), coalesce(array_agg(u.coverage), '{{}}') INTO ids, coverages
        FROM (
            SELECT * FROM unnest(ids, coverages) AS before (id, coverage)
            UNION
            SELECT * FROM unnest(found.ids, found.coverages) AS now (id, coverage)
        ) AS u;
    END LOOP;
END
$$
"""

FUNCTIONS = {
    "word_query(text[], text)": (WORD_QUERY, "lexemes joined by | or &"),
    "words_statement(text, text, text, integer)": (WORDS_STATEMENT, "how memories are found by words"),
    "search_words(uuid, text, text)": (
        SEARCH_WORDS,
        "the lexemes of a question, the 64 rarest, and how many have them",
    ),
    "memories_by_words(text, text, uuid, uuid, jsonb, vector, text[], double precision[], double precision, "
    "double precision, double precision, integer)": (
        MEMORIES_BY_WORDS,
        "the memories of a scope that hold words of a question, and which share of its words by their rarity",
    ),
}


def upgrade() -> None:
    for function, (definition, comment) in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")


def downgrade() -> None:
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
