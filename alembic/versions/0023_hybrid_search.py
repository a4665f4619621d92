"""Searching memories by a vector, by words, or by both: hybrid_search and explain_search.

Serves: scope.search, and whoever searches from SQL.
Cost: functions only.
Refused: a function that runs with the rights of its caller (`@@` is not leakproof, so under row level security no index
on words is used).

Only search_memories and explain_memories have the rights of their owner. Both want the tenant that is set, name
everything by its schema, and can be called by whoever may read memories.
"""

from __future__ import annotations

from alembic import op

revision = "0023_hybrid_search"
down_revision = "0022_word_search"
branch_labels = None
depends_on = None
level = "reversible"

# As in 0020_vector_search.
SETTINGS = """
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = on SET enable_bitmapscan = on SET enable_sort = on SET enable_hashjoin = on
SET enable_mergejoin = on SET work_mem = '64MB'"""

# Everything that is found out before a search, for whoever searches and whoever explains.
BEGIN_SEARCH = """
CREATE FUNCTION memstore.begin_search(
    tenant uuid, query_text text, query_embedding vector, match_count integer, vector_weight double precision,
    text_weight double precision, of_user uuid, min_score double precision, filters jsonb, wish text,
    OUT conditions text, OUT wanted integer, OUT plan text, OUT reason text, OUT text_plan text,
    OUT memories double precision, OUT scope_rows double precision, OUT matching_rows double precision,
    OUT filtered boolean, OUT index_name text, OUT half boolean, OUT lists integer, OUT steps double precision,
    OUT lexemes text[], OUT documents double precision[]
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    PERFORM memstore.check_tenant(tenant);
    PERFORM memstore.check_search(
        query_text, query_embedding, match_count, vector_weight, text_weight, min_score, wish);
    PERFORM memstore.check_filters(filters);
    conditions := memstore.search_conditions(filters, of_user);
    wanted := CASE WHEN query_text IS NULL OR query_embedding IS NULL THEN match_count
        ELSE greatest(50, 5 * match_count) END;
    SELECT p.plan, p.reason, p.text_plan, p.memories, p.scope_rows, p.matching_rows, p.filtered, p.index_name, p.half,
        p.lists, p.steps
    INTO plan, reason, text_plan, memories, scope_rows, matching_rows, filtered, index_name, half, lists, steps
    FROM memstore.plan_search(tenant, of_user, filters, conditions, query_embedding IS NOT NULL, wanted, wish) AS p;
    IF query_text IS NOT NULL THEN
        SELECT w.lexemes, w.documents INTO lexemes, documents
        FROM memstore.search_words(tenant, query_text, text_plan) AS w;
    END IF;
END
$$
"""

SEARCH_MEMORIES = f"""
CREATE FUNCTION memstore.search_memories(
    tenant uuid, query_text text, query_embedding vector, match_count integer, vector_weight double precision,
    text_weight double precision, of_user uuid, min_score double precision, filters jsonb, plan text
) RETURNS TABLE (id varchar, score double precision, vector_score double precision, text_score double precision,
    found_by text)
LANGUAGE plpgsql STABLE SECURITY DEFINER{SETTINGS}
AS $$
DECLARE
    chosen record;
    said record;
    near_ids varchar[];
    similarities double precision[];
BEGIN
    SELECT * INTO chosen FROM memstore.begin_search(
        tenant, query_text, query_embedding, match_count, vector_weight, text_weight, of_user, min_score, filters,
        plan);
    IF query_embedding IS NOT NULL THEN
        SELECT array_agg(near.id), array_agg(near.similarity) INTO near_ids, similarities
        FROM memstore.nearest_memories(
            chosen.plan, chosen.conditions, chosen.filtered, tenant, of_user, filters, query_embedding, chosen.wanted,
            chosen.half, chosen.lists, chosen.steps
        ) AS near;
    END IF;

    IF chosen.lexemes IS NULL THEN
        RETURN QUERY
            SELECT near.id, s.score, near.similarity, NULL::double precision, 'vector'
            FROM unnest(near_ids, similarities) WITH ORDINALITY AS near (id, similarity, place) CROSS JOIN LATERAL (
                SELECT CASE WHEN query_text IS NULL THEN near.similarity ELSE (1 + near.similarity) / 2 END AS score
            ) AS s
            WHERE min_score IS NULL OR s.score >= min_score ORDER BY near.place LIMIT match_count;
        RETURN;
    END IF;
    SELECT * INTO said FROM memstore.memories_by_words(
        chosen.text_plan, chosen.conditions, tenant, of_user, filters, query_embedding, chosen.lexemes,
        chosen.documents, chosen.memories, vector_weight, text_weight, match_count);
    IF query_embedding IS NULL THEN
        RETURN QUERY
            SELECT s.id, s.coverage, NULL::double precision, s.coverage, 'text'
            FROM unnest(said.ids, said.coverages) AS s (id, coverage)
            WHERE min_score IS NULL OR s.coverage >= min_score
            ORDER BY s.coverage DESC, s.id COLLATE "C" LIMIT match_count;
        RETURN;
    END IF;
    RETURN QUERY
        WITH either AS (
            SELECT coalesce(near.id, s.id) AS id, near.similarity, s.coverage,
                coalesce(near.place <= chosen.wanted, false) AS by_vector
            FROM unnest(near_ids, similarities) WITH ORDINALITY AS near (id, similarity, place)
            FULL JOIN unnest(said.ids, said.coverages) AS s (id, coverage) ON s.id = near.id
        ), both_scores AS MATERIALIZED (
            SELECT e.id, e.by_vector,
                coalesce(e.similarity, memstore.cosine_similarity(m.embedding, query_embedding)) AS similarity,
                coalesce(e.coverage, (
                    SELECT coalesce(sum(word.idf ORDER BY word.place), 0) / said.whole
                    FROM unnest(said.queries, said.idf) WITH ORDINALITY AS word (query, idf, place)
                    WHERE m.search_vector @@ word.query
                )) AS coverage
            FROM either AS e JOIN memstore.memory_nodes AS m ON m.tenant_id = tenant AND m.id = e.id
        ), fused AS (
            SELECT b.*, (vector_weight * coalesce((1 + b.similarity) / 2, 0) + text_weight * b.coverage)
                / (vector_weight + text_weight) AS score
            FROM both_scores AS b
        )
        SELECT f.id, f.score, f.similarity, f.coverage,
            CASE WHEN f.by_vector AND f.coverage > 0 THEN 'both' WHEN f.by_vector THEN 'vector' ELSE 'text' END
        FROM fused AS f
        WHERE (f.by_vector OR f.coverage > 0) AND (min_score IS NULL OR f.score >= min_score)
        ORDER BY f.score DESC, f.id COLLATE "C" LIMIT match_count;
END
$$
"""

EXPLAIN_MEMORIES = f"""
CREATE FUNCTION memstore.explain_memories(
    tenant uuid, query_text text, query_embedding vector, match_count integer, vector_weight double precision,
    text_weight double precision, of_user uuid, min_score double precision, filters jsonb, plan text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER{SETTINGS}
AS $$
DECLARE
    chosen record;
    line text;
    statement text;
    lines jsonb := '[]';
BEGIN
    SELECT * INTO chosen FROM memstore.begin_search(
        tenant, query_text, query_embedding, match_count, vector_weight, text_weight, of_user, min_score, filters,
        plan);
    IF chosen.lexemes IS NOT NULL THEN
        statement := memstore.words_statement(
            chosen.text_plan, chosen.conditions,
            CASE WHEN (filters -> 'include_deleted')::boolean THEN '' ELSE ' AND m.deleted_at IS NULL' END,
            cardinality(chosen.lexemes));
        FOR line IN EXECUTE 'EXPLAIN (SUMMARY) ' || statement
            USING tenant, of_user, filters, query_embedding, match_count, ARRAY(
                    SELECT memstore.word_query(ARRAY[l.lexeme], ' | ') FROM unnest(chosen.lexemes) AS l (lexeme)
                ), chosen.documents, chosen.memories, memstore.word_query(chosen.lexemes, ' | '), vector_weight,
                text_weight, match_count, 3000
        LOOP
            lines := lines || to_jsonb(line);
        END LOOP;
    END IF;
    IF query_embedding IS NOT NULL THEN
        PERFORM memstore.set_vector_plan(chosen.plan, chosen.filtered);
        statement := memstore.vector_statement(
            chosen.plan, chosen.conditions, chosen.half, memstore.vector_width(query_embedding));
        FOR line IN EXECUTE 'EXPLAIN (SUMMARY) ' || statement
            USING tenant, of_user, filters, query_embedding, memstore.rows_to_fetch(chosen.wanted)
        LOOP
            lines := lines || to_jsonb(line);
        END LOOP;
    END IF;
    RETURN jsonb_build_object(
        'plan', chosen.plan, 'reason', chosen.reason, 'scope_rows', round(chosen.scope_rows),
        'matching_rows', round(chosen.matching_rows), 'index', chosen.index_name,
        'text_plan', CASE WHEN chosen.lexemes IS NOT NULL THEN chosen.text_plan END, 'explain', lines
    );
END
$$
"""

# Row level security does not reach into what has the rights of its owner: whom it confines is told apart before.
HYBRID_SEARCH = """
CREATE FUNCTION memstore.hybrid_search(
    tenant uuid, query_text text DEFAULT NULL, query_embedding vector DEFAULT NULL, match_count integer DEFAULT 10,
    vector_weight double precision DEFAULT 0.7, text_weight double precision DEFAULT 0.3, of_user uuid DEFAULT NULL,
    min_score double precision DEFAULT NULL, filters jsonb DEFAULT '{}', plan text DEFAULT 'auto'
) RETURNS TABLE (id varchar, score double precision, vector_score double precision, text_score double precision,
    found_by text)
LANGUAGE plpgsql STABLE ROWS 10
AS $$
DECLARE
    before text := current_setting('memstore.tenant_id', true);
    other CONSTANT boolean := tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant();
BEGIN
    IF other THEN
        IF tenant IS NULL OR row_security_active('memstore.memory_nodes') THEN
            RETURN;
        END IF;
        PERFORM set_config('memstore.tenant_id', tenant::text, true);
    END IF;
    RETURN QUERY SELECT * FROM memstore.search_memories(
        tenant, query_text, query_embedding, match_count, vector_weight, text_weight, of_user, min_score, filters, plan
    );
    IF other THEN
        PERFORM set_config('memstore.tenant_id', coalesce(before, ''), true);
    END IF;
END
$$
"""

EXPLAIN_SEARCH = """
CREATE FUNCTION memstore.explain_search(
    tenant uuid, query_text text DEFAULT NULL, query_embedding vector DEFAULT NULL, match_count integer DEFAULT 10,
    vector_weight double precision DEFAULT 0.7, text_weight double precision DEFAULT 0.3, of_user uuid DEFAULT NULL,
    min_score double precision DEFAULT NULL, filters jsonb DEFAULT '{}', plan text DEFAULT 'auto'
) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    before text := current_setting('memstore.tenant_id', true);
    other CONSTANT boolean := tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant();
    explanation jsonb;
BEGIN
    IF other THEN
        IF tenant IS NULL OR row_security_active('memstore.memory_nodes') THEN
            RETURN NULL;
        END IF;
        PERFORM set_config('memstore.tenant_id', tenant::text, true);
    END IF;
    explanation := memstore.explain_memories(
        tenant, query_text, query_embedding, match_count, vector_weight, text_weight, of_user, min_score, filters, plan
    );
    IF other THEN
        PERFORM set_config('memstore.tenant_id', coalesce(before, ''), true);
    END IF;
    RETURN explanation;
END
$$
"""

ARGUMENTS = "uuid, text, vector, integer, double precision, double precision, uuid, double precision, jsonb, text"
FUNCTIONS = {
    f"begin_search({ARGUMENTS})": (BEGIN_SEARCH, "checks what is asked, and says how it is to be searched for"),
    f"search_memories({ARGUMENTS})": (
        SEARCH_MEMORIES,
        "hybrid_search() for the tenant that is set, with the rights of its owner",
    ),
    f"explain_memories({ARGUMENTS})": (
        EXPLAIN_MEMORIES,
        "explain_search() for the tenant that is set, with the rights of its owner",
    ),
    f"hybrid_search({ARGUMENTS})": (
        HYBRID_SEARCH,
        "the memories of a tenant that are nearest to a vector, or hold the words of a text, best first. score: with a "
        "vector only the cosine, with a text only the text_score, with both their weighted mean, 0 to 1, of which the "
        "cosine is (1 + vector_score) / 2; text_score: the share of the words in the text, by their rarity, that the "
        "memory holds",
    ),
    f"explain_search({ARGUMENTS})": (
        EXPLAIN_SEARCH,
        "how hybrid_search() would go about it, and why so; nothing is searched",
    ),
}

# Whoever may read memories may search them, also after an upgrade; nobody else may use the rights of the owner.
GRANT_DEFINER = """
DO $$
DECLARE
    reader text;
BEGIN
    REVOKE EXECUTE ON FUNCTION memstore.{function} FROM PUBLIC;
    FOR reader IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
        WHERE pg_class.oid = 'memstore.memory_nodes'::regclass AND privilege_type = 'SELECT' AND grantee <> relowner
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
    for function in ("search_memories", "explain_memories"):
        op.execute(GRANT_DEFINER.format(function=f"{function}({ARGUMENTS})"))


def downgrade() -> None:
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
