"""Searching memories by a vector, by words, or by both: hybrid_search and explain_search.

Serves: scope.search, and whoever searches from SQL.
Cost: functions only.
Before, with the plan that PostgreSQL chooses, 100,000 memories: recall@10 0.05 for a tenant with 1 % of them, 0.38 for
one with 10 %. After: 1.00 for both.
Refused: leaving the choice of a plan to PostgreSQL (it does not know what an index leaves out, and says nothing);
ts_rank, whose numbers mean something else for each question; a function that runs with the rights of its caller (`@@`
is not leakproof, so under row level security no index on words is used).

Only search_memories and explain_memories have the rights of their owner. Both want the tenant that is set, name
everything by its schema, and can be called by whoever may read memories. The operators of pgvector are bound when
cosine_similarity and the like are made, and are inlined from there: its schema need not be on any search path.
"""

from __future__ import annotations

from alembic import op

revision = "0019_hybrid_search"
down_revision = "0018_search_statistics"
branch_labels = None
depends_on = None
level = "reversible"

COSINE_SIMILARITY = """
CREATE FUNCTION memstore.cosine_similarity(one vector, other vector) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1 - (one <=> other);
END
"""

# Not by the name that pgvector has for it: the extension may be in this schema too.
DIFFERING_BITS = """
CREATE FUNCTION memstore.differing_bits(bits bit, embedding vector) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT bits <~> binary_quantize(embedding);
END
"""

# Folded to a constant when a statement is planned, so that PostgreSQL knows how many rows a value has.
FILTER_VALUES = """
CREATE FUNCTION memstore.filter_values(filters jsonb, key text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(filters -> key)
        WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(filters -> key))
        ELSE ARRAY[filters ->> key]
    END
$$
"""

CHECK_FILTERS = r"""
CREATE FUNCTION memstore.check_filters(filters jsonb) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    key text;
    value jsonb;
    each jsonb;
    needed text;
    moment timestamptz;
BEGIN
    IF jsonb_typeof(filters) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'filters is %, an object is needed', coalesce(jsonb_typeof(filters), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR key, value IN SELECT * FROM jsonb_each(filters) LOOP
        each := CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END;
        needed := CASE
            WHEN key IN ('conversation_id', 'source', 'memory_type', 'neuro_type', 'decay_tier') THEN
                CASE WHEN jsonb_path_exists(each, 'strict $[*] ? (@.type() != "string")')
                    THEN 'a text or an array of texts' END
            WHEN key IN ('session_id', 'agent_id', 'user_id') THEN
                CASE WHEN jsonb_path_exists(each, 'strict $[*] ? (@.type() != "string" ||
                        !(@ like_regex "^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"))')
                    THEN 'a UUID or an array of UUIDs' END
            WHEN key = 'cluster_id' THEN
                CASE WHEN jsonb_path_exists(each, 'strict $[*] ? (@.type() != "number" || @.floor() != @ ||
                        @ > 2147483647 || @ < -2147483648)')
                    THEN 'a whole number or an array of whole numbers' END
            WHEN key IN ('importance_min', 'importance_max') THEN
                CASE WHEN jsonb_typeof(value) <> 'number'
                       OR jsonb_path_exists(each, 'strict $[*] ? (@.floor() != @ || @ > 32767 || @ < -32768)')
                    THEN 'a whole number' END
            WHEN key IN ('tags_any', 'tags_all') THEN
                CASE WHEN jsonb_typeof(value) <> 'array'
                       OR jsonb_path_exists(each, 'strict $[*] ? (@.type() != "string")')
                    THEN 'an array of texts' END
            WHEN key IN ('created_from', 'created_to') THEN
                CASE WHEN jsonb_typeof(value) <> 'string' THEN 'a time as text, such as 2026-01-31T12:00:00Z' END
            WHEN key = 'metadata' THEN
                CASE WHEN jsonb_typeof(value) <> 'object' THEN 'an object' END
            WHEN key IN ('include_deleted', 'include_expired') THEN
                CASE WHEN jsonb_typeof(value) <> 'boolean' THEN 'true or false' END
            ELSE '?'
        END;
        IF needed = '?' THEN
            RAISE EXCEPTION 'there is no filter %', quote_literal(key)
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Filters are conversation_id, session_id, agent_id, '
                    'user_id, source, memory_type, neuro_type, decay_tier, cluster_id, tags_any, tags_all, '
                    'created_from, created_to, importance_min, importance_max, metadata, include_deleted and '
                    'include_expired.';
        ELSIF needed IS NOT NULL THEN
            RAISE EXCEPTION 'the filter % is %, needed: %', key, left(value::text, 100), needed
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF key IN ('created_from', 'created_to') THEN
            BEGIN
                moment := (value #>> '{}')::timestamptz;
            EXCEPTION WHEN data_exception THEN
                RAISE EXCEPTION 'the filter % is %, needed: a time as text, such as 2026-01-31T12:00:00Z',
                    key, left(value::text, 100) USING ERRCODE = 'invalid_parameter_value';
            END;
        END IF;
    END LOOP;
END
$$
"""

# $1 is the tenant, $2 the user, $3 the filters: all that is written here are constants, every value is a parameter.
SEARCH_CONDITIONS = r"""
CREATE FUNCTION memstore.search_conditions(filters jsonb, of_user uuid) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'm.tenant_id = $1'
        || CASE WHEN of_user IS NULL THEN '' ELSE ' AND m.user_id = $2' END
        || CASE WHEN coalesce((filters -> 'include_deleted')::boolean, false) THEN ''
                ELSE ' AND m.deleted_at IS NULL' END
        || CASE WHEN coalesce((filters -> 'include_expired')::boolean, false) THEN ''
                ELSE ' AND (m.expiry IS NULL OR m.expiry > now())' END
        || coalesce((
            SELECT string_agg(' AND ' || f.condition, '' ORDER BY f.key)
            FROM (VALUES
                ('conversation_id', $f$m.conversation_id = ANY (memstore.filter_values($3, 'conversation_id'))$f$),
                ('session_id', $f$m.session_id = ANY (memstore.filter_values($3, 'session_id')::uuid[])$f$),
                ('agent_id', $f$m.agent_id = ANY (memstore.filter_values($3, 'agent_id')::uuid[])$f$),
                ('user_id', $f$m.user_id = ANY (memstore.filter_values($3, 'user_id')::uuid[])$f$),
                ('source', $f$m.source = ANY (memstore.filter_values($3, 'source'))$f$),
                ('memory_type', $f$m.memory_type = ANY (memstore.filter_values($3, 'memory_type'))$f$),
                ('neuro_type', $f$m.neuro_type = ANY (memstore.filter_values($3, 'neuro_type'))$f$),
                ('decay_tier', $f$m.decay_tier = ANY (memstore.filter_values($3, 'decay_tier'))$f$),
                ('cluster_id', $f$m.cluster_id = ANY (memstore.filter_values($3, 'cluster_id')::numeric[])$f$),
                ('tags_any', $f$EXISTS (
                    SELECT FROM jsonb_each(m.tags) AS list
                    WHERE jsonb_typeof(list.value) = 'array'
                      AND list.value ?| memstore.filter_values($3, 'tags_any'))$f$),
                ('tags_all', $f$NOT EXISTS (
                    SELECT FROM unnest(memstore.filter_values($3, 'tags_all')) AS tag
                    WHERE NOT EXISTS (
                        SELECT FROM jsonb_each(m.tags) AS list
                        WHERE jsonb_typeof(list.value) = 'array' AND list.value ? tag))$f$),
                ('created_from', $f$m.created_at >= ($3 ->> 'created_from')::timestamptz$f$),
                ('created_to', $f$m.created_at < ($3 ->> 'created_to')::timestamptz$f$),
                ('importance_min', $f$m.importance >= ($3 ->> 'importance_min')::numeric$f$),
                ('importance_max', $f$m.importance <= ($3 ->> 'importance_max')::numeric$f$),
                ('metadata', $f$m.metadata @> ($3 -> 'metadata')$f$)
            ) AS f (key, condition)
            WHERE filters ? f.key
        ), '')
$$
"""

CHECK_SEARCH = """
CREATE FUNCTION memstore.check_search(
    query_text text, query_embedding vector, match_count integer, vector_weight double precision,
    text_weight double precision, min_score double precision, plan text
) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    width integer;
BEGIN
    IF query_text IS NULL AND query_embedding IS NULL THEN
        RAISE EXCEPTION 'neither query_text nor query_embedding is given, one of them is needed'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF match_count IS NULL OR match_count NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'match_count is %, needed: 1 to 1000', coalesce(match_count::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF coalesce(vector_weight, -1) NOT BETWEEN 0 AND 1e100 OR coalesce(text_weight, -1) NOT BETWEEN 0 AND 1e100
          OR vector_weight + text_weight = 0 THEN
        RAISE EXCEPTION 'vector_weight is % and text_weight is %, needed: 0 to 1e100 each, and not both 0',
            coalesce(vector_weight::text, 'NULL'), coalesce(text_weight::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF min_score = 'NaN' THEN
        RAISE EXCEPTION 'min_score is NaN, a number is needed' USING ERRCODE = 'invalid_parameter_value';
    ELSIF plan IS NULL OR plan NOT IN ('auto', 'exact', 'bits', 'index') THEN
        RAISE EXCEPTION 'there is no plan %, needed: auto, exact, bits or index', coalesce(quote_literal(plan), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF query_embedding IS NOT NULL THEN
        width := (
            SELECT atttypmod FROM pg_attribute
            WHERE attrelid = 'memstore.memory_nodes'::regclass AND attname = 'embedding'
        );
        IF memstore.vector_width(query_embedding) <> width THEN
            RAISE EXCEPTION 'different vector dimensions: query_embedding has %, embeddings of memories have %',
                memstore.vector_width(query_embedding), width
                USING ERRCODE = 'data_exception', CONSTRAINT = 'embedding_width',
                      HINT = 'Embed the question with the model that embedded the memories.';
        ELSIF memstore.cosine_similarity(query_embedding, query_embedding) = 'NaN' THEN
            RAISE EXCEPTION 'query_embedding has no cosine: it is zero, or too large or small to be squared'
                USING ERRCODE = 'data_exception', CONSTRAINT = 'embedding_has_cosine';
        END IF;
    END IF;
END
$$
"""

VECTOR_WIDTH = """
CREATE FUNCTION memstore.vector_width(embedding vector) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT vector_dims(embedding);
END
"""

# What they cost was measured on 100,000 memories of 1,024 dimensions, in microseconds: a row compared exactly (most of
# it is fetching the vector), a row by its bits from the covering index, a row met in the table, and a step of the
# graph, of which there are as many as it takes to meet enough rows that match. How many rows the bits leave to be
# compared exactly grows with the scope, less than in proportion; here the line is above what was seen.
CHOOSE_VECTOR_PLAN = """
CREATE FUNCTION memstore.choose_vector_plan(
    scope_rows double precision, matching_rows double precision, table_rows double precision, wanted integer,
    has_index boolean, from_table boolean, OUT plan text, OUT reason text
)
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    exact_row CONSTANT double precision := 6;
    bits_start CONSTANT double precision := 200;
    bits_row CONSTANT double precision := 0.25;
    table_row CONSTANT double precision := 1;
    again_row CONSTANT double precision := 8;
    index_start CONSTANT double precision := 1500;
    index_step CONSTANT double precision := 11;
    scan double precision := scope_rows * CASE WHEN from_table THEN table_row ELSE bits_row END;
    again double precision := least(matching_rows, greatest(100, 3 * wanted) + 0.06 * matching_rows);
    exact_cost double precision := matching_rows * exact_row + CASE WHEN from_table THEN scan ELSE 0 END;
    bits_cost double precision := bits_start + scan + again * again_row;
    index_cost double precision := index_start + index_step * memstore.rows_to_fetch(wanted)
        * greatest(table_rows, scope_rows) / greatest(matching_rows, 1);
BEGIN
    plan := CASE
        WHEN exact_cost <= bits_cost AND (exact_cost <= index_cost OR NOT has_index) THEN 'exact'
        WHEN bits_cost <= index_cost OR NOT has_index THEN 'bits'
        ELSE 'index'
    END;
    reason := format('thought to cost, in ms: exact %s, bits %s, index %s', round(exact_cost::numeric / 1000, 1),
        round(bits_cost::numeric / 1000, 1),
        CASE WHEN has_index THEN round(index_cost::numeric / 1000, 1)::text ELSE 'there is none' END);
END
$$
"""

# More than wanted: a walk of the graph returns them nearly in order, by vectors of half the precision.
ROWS_TO_FETCH = """
CREATE FUNCTION memstore.rows_to_fetch(wanted integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT wanted + greatest(30, wanted) $$
"""

VECTOR_INDEX = """
CREATE FUNCTION memstore.vector_index(OUT name text, OUT half boolean, OUT lists integer)
LANGUAGE sql STABLE
AS $$
    SELECT relname, relname LIKE '%halfvec',
        (SELECT option_value::integer FROM pg_options_to_table(reloptions) WHERE option_name = 'lists')
    FROM (VALUES ('hnsw', 1), ('hnsw_halfvec', 2), ('ivfflat', 3), ('ivfflat_halfvec', 4)) AS kind (suffix, place)
    JOIN pg_class ON pg_class.oid = to_regclass('memstore.ix_memory_nodes_embedding_' || kind.suffix)
    JOIN pg_index ON indexrelid = pg_class.oid AND indisvalid
    ORDER BY kind.place LIMIT 1
$$
"""

# The parameters of each statement: 1 the tenant, 2 the user, 3 the filters, 4 the vector, 5 how many.
VECTOR_STATEMENT = r"""
CREATE FUNCTION memstore.vector_statement(plan text, conditions text, half boolean, width integer) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE plan
        WHEN 'exact' THEN
            'SELECT m.id, memstore.cosine_similarity(m.embedding, $4) AS similarity FROM memstore.memory_nodes AS m '
            'WHERE ' || conditions || ' AND m.embedding IS NOT NULL ORDER BY similarity DESC, m.id COLLATE "C" LIMIT $5'
        WHEN 'bits' THEN
            'SELECT array_agg(near.id), array_agg(near.distance) FROM ('
            'SELECT m.id, memstore.differing_bits(m.embedding_bits, $4) AS distance FROM memstore.memory_nodes AS m '
            'WHERE ' || conditions || ' AND m.embedding_bits IS NOT NULL ORDER BY distance LIMIT $5) AS near'
        ELSE (
            SELECT 'WITH near AS MATERIALIZED (SELECT m.id, m.embedding FROM memstore.memory_nodes AS m WHERE '
                || conditions || CASE WHEN half
                    THEN format(' ORDER BY (m.embedding::%1$I.halfvec(%2$s)) OPERATOR(%1$I.<=>) '
                                '$4::%1$I.vector::%1$I.halfvec(%2$s)', nspname, width)
                    ELSE format(' ORDER BY m.embedding OPERATOR(%1$I.<=>) $4', nspname) END
                || ' LIMIT $5) SELECT near.id, memstore.cosine_similarity(near.embedding, $4) AS similarity '
                'FROM near ORDER BY similarity DESC, near.id COLLATE "C"'
            FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'
        )
    END
$$
"""


# What has to be as it was on return is in the header. The settings of pgvector are not: a header with them could be
# created, or restored from a dump, by superusers only; they are put back by hand, and by PostgreSQL after an error.
SETTINGS = """
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = on SET enable_bitmapscan = on SET enable_sort = on SET enable_hashjoin = on
SET enable_mergejoin = on SET work_mem = '64MB'"""

SET_VECTOR_PLAN = """
CREATE FUNCTION memstore.set_vector_plan(plan text, filtered boolean) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    PERFORM set_config('enable_sort', CASE plan WHEN 'index' THEN 'off' ELSE 'on' END, true);
    PERFORM set_config(
        'enable_seqscan', CASE WHEN plan = 'exact' OR plan = 'bits' AND filtered THEN 'on' ELSE 'off' END, true);
    PERFORM set_config('enable_bitmapscan', CASE WHEN plan = 'bits' AND NOT filtered THEN 'off' ELSE 'on' END, true);
END
$$
"""

# Walks the graph or the lists, and puts the settings of pgvector back: `wanted` is how many rows it returns, `steps`
# how many it is thought to meet until then.
WALK_INDEX = """
CREATE FUNCTION memstore.walk_index(
    statement text, tenant uuid, of_user uuid, filters jsonb, query_embedding vector, fetched integer,
    steps double precision, lists integer
) RETURNS TABLE (id varchar, similarity double precision)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    names CONSTANT text[] := ARRAY['hnsw.iterative_scan', 'hnsw.ef_search', 'hnsw.max_scan_tuples',
        'hnsw.scan_mem_multiplier', 'ivfflat.iterative_scan', 'ivfflat.probes'];
    before text[] := ARRAY(
        SELECT current_setting(s.name) FROM unnest(names) WITH ORDINALITY AS s (name, place) ORDER BY s.place
    );
    needed text[] := ARRAY['relaxed_order', least(1000, greatest(200, 4 * fetched))::text,
        least(2e9, greatest(20000, 4 * steps))::bigint::text, '8', 'relaxed_order',
        least(coalesce(lists, 1), greatest(10, ceil(lists / 8.0)))::integer::text];
BEGIN
    PERFORM set_config(s.name, s.value, true) FROM unnest(names, needed) AS s (name, value);
    RETURN QUERY EXECUTE statement USING tenant, of_user, filters, query_embedding, fetched;
    PERFORM set_config(s.name, s.value, true) FROM unnest(names, before) AS s (name, value);
END
$$
"""

# Ranks by the bits once, and compares the best of that order exactly, a slice at a time, until there can hardly be a
# better one further on: two vectors at an angle differ in angle / pi of their bits, give or take the deviation of so
# many throws of a coin. The worst of the best found so far has that angle; the bits must be 2.5 deviations past those
# that the best had, and the best must not stand near the end of what was compared.
RANK_BY_BITS = """
CREATE FUNCTION memstore.rank_by_bits(
    statement text, tenant uuid, of_user uuid, filters jsonb, query_embedding vector, wanted integer
) RETURNS TABLE (id varchar, similarity double precision)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    deviations CONSTANT double precision := 2.5;
    kept CONSTANT double precision := 0.6;
    most integer := greatest(1000, 20 * wanted);
    width double precision := memstore.vector_width(query_embedding);
    ids varchar[];
    distances double precision[];
    similarities double precision[];
    compared integer;
    next integer := greatest(100, 3 * wanted);
    worst double precision;
    enough double precision;
    needed integer;
    last_place integer;
    differing double precision;
BEGIN
    PERFORM set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
    LOOP
        EXECUTE statement INTO ids, distances USING tenant, of_user, filters, query_embedding, most;
        similarities := '{}';
        compared := 0;
        WHILE compared < coalesce(cardinality(ids), 0) LOOP
            next := least(next, cardinality(ids));
            similarities := similarities || ARRAY(
                SELECT memstore.cosine_similarity(m.embedding, query_embedding)
                FROM unnest(ids[compared + 1:next]) WITH ORDINALITY AS near (id, place)
                LEFT JOIN memstore.memory_nodes AS m ON m.tenant_id = tenant AND m.id = near.id
                ORDER BY near.place
            );
            compared := next;
            SELECT min(best.similarity), avg(best.distance), max(best.place) INTO worst, enough, last_place
            FROM (
                SELECT * FROM unnest(similarities, distances[1:compared])
                    WITH ORDINALITY AS each (similarity, distance, place)
                ORDER BY each.similarity DESC LIMIT wanted
            ) AS best;
            differing := acos(greatest(-1, least(1, worst))) / pi();
            enough := enough + deviations * sqrt(width * differing * (1 - differing));
            needed := (SELECT count(*) FROM unnest(distances) AS distance WHERE distance < enough);
            EXIT WHEN needed <= compared AND last_place <= kept * compared;
            next := least(
                3 * compared, greatest(needed, CASE WHEN last_place > kept * compared THEN 2 * compared ELSE 0 END));
        END LOOP;
        EXIT WHEN compared < most;
        -- There may be more within reach than were ranked: rank more of them, a few times as many, and begin again.
        most := 5 * most;
        next := 2 * compared;
    END LOOP;
    RETURN QUERY
        SELECT found.id, found.similarity FROM unnest(ids[1:compared], similarities) AS found (id, similarity)
        ORDER BY found.similarity DESC, found.id COLLATE "C" LIMIT 4 * wanted;
END
$$
"""

# Returns more than wanted where they cost nothing: in a hybrid search those that also hold a word count.
NEAREST_MEMORIES = f"""
CREATE FUNCTION memstore.nearest_memories(
    plan text, conditions text, filtered boolean, tenant uuid, of_user uuid, filters jsonb, query_embedding vector,
    wanted integer, half boolean, lists integer, steps double precision
) RETURNS TABLE (id varchar, similarity double precision)
LANGUAGE plpgsql STABLE{SETTINGS}
AS $$
DECLARE
    statement text := memstore.vector_statement(plan, conditions, half, memstore.vector_width(query_embedding));
    fetched integer := memstore.rows_to_fetch(wanted);
    ids varchar[];
    similarities double precision[];
BEGIN
    PERFORM memstore.set_vector_plan(plan, filtered);
    IF plan = 'exact' THEN
        RETURN QUERY EXECUTE statement USING tenant, of_user, filters, query_embedding, 4 * wanted;
        RETURN;
    ELSIF plan = 'index' THEN
        SELECT array_agg(near.id), array_agg(near.similarity) INTO ids, similarities
        FROM memstore.walk_index(statement, tenant, of_user, filters, query_embedding, fetched, steps, lists) AS near;
        IF cardinality(ids) >= fetched THEN
            RETURN QUERY SELECT near.id, near.similarity FROM unnest(ids, similarities) AS near (id, similarity);
            RETURN;
        END IF;
        -- It gave up, or there are no more: which of both, only a look at all of them tells.
        statement := memstore.vector_statement('bits', conditions, half, memstore.vector_width(query_embedding));
        PERFORM memstore.set_vector_plan('bits', filtered);
    END IF;
    RETURN QUERY SELECT * FROM memstore.rank_by_bits(statement, tenant, of_user, filters, query_embedding, wanted);
END
$$
"""

# VOLATILE, and explain_memories too, because EXPLAIN is not allowed in any other function. Neither writes.
PLANNED_ROWS = """
CREATE FUNCTION memstore.planned_rows(conditions text, tenant uuid, of_user uuid, filters jsonb)
RETURNS double precision
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    planned json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM memstore.memory_nodes AS m WHERE ' || conditions INTO planned
    USING tenant, of_user, filters;
    RETURN planned -> 0 -> 'Plan' ->> 'Plan Rows';
END
$$
"""

# Counts no further than to where statistics begin, and never reads the table to do so.
COUNT_FEW = """
CREATE FUNCTION memstore.count_few(tenant uuid, of_user uuid) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
BEGIN
    IF of_user IS NULL THEN
        RETURN (SELECT count(*) FROM (
            SELECT FROM memstore.memory_nodes AS m WHERE m.tenant_id = tenant AND m.deleted_at IS NULL LIMIT 2001
        ) AS few);
    END IF;
    RETURN (SELECT count(*) FROM (
        SELECT FROM memstore.memory_nodes AS m
        WHERE m.tenant_id = tenant AND m.user_id = of_user AND m.deleted_at IS NULL LIMIT 2001
    ) AS few);
END
$$
"""

SEARCH_SCOPE = """
CREATE FUNCTION memstore.search_scope(
    tenant uuid, of_user uuid, OUT memories double precision, OUT scope_rows double precision, OUT sample varchar[]
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    few CONSTANT integer := 2000;
BEGIN
    SELECT s.memories, (s.users ->> of_user::text)::double precision, s.sample INTO memories, scope_rows, sample
    FROM memstore.search_statistics AS s WHERE s.tenant_id = tenant;
    IF coalesce(memories, 0) <= few THEN
        memories := memstore.count_few(tenant, NULL);
        IF memories > few THEN
            memories := greatest(memories, memstore.planned_rows('m.tenant_id = $1', tenant, NULL, NULL));
        END IF;
    END IF;
    IF of_user IS NULL THEN
        scope_rows := memories;
    ELSIF scope_rows IS NULL THEN
        scope_rows := memstore.count_few(tenant, of_user);
        IF scope_rows > few THEN
            scope_rows := greatest(scope_rows, least(memories,
                memstore.planned_rows('m.tenant_id = $1 AND m.user_id = $2', tenant, of_user, NULL)));
        END IF;
    END IF;
END
$$
"""

# Of the sample of the tenant those that are in the scope, and how many of them the filters leave. What PostgreSQL knows
# of columns is of all tenants together, and multiplies as if they had nothing to do with one another.
MATCHING_ROWS = """
CREATE FUNCTION memstore.matching_rows(
    tenant uuid, of_user uuid, filters jsonb, conditions text, scope_rows double precision, sample varchar[]
) RETURNS double precision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    seen integer;
    matching integer;
BEGIN
    IF cardinality(sample) > 0 THEN
        EXECUTE 'SELECT count(*) FILTER (WHERE $2 IS NULL OR m.user_id = $2), count(*) FILTER (WHERE ' || conditions
            || ') FROM unnest($4) AS s (id) JOIN memstore.memory_nodes AS m ON m.tenant_id = $1 AND m.id = s.id'
        INTO seen, matching USING tenant, of_user, filters, sample;
        IF seen >= 20 THEN
            RETURN scope_rows * matching / seen;
        END IF;
    END IF;
    RETURN least(scope_rows, memstore.planned_rows(conditions, tenant, of_user, filters));
END
$$
"""

PLAN_SEARCH = """
CREATE FUNCTION memstore.plan_search(
    tenant uuid, of_user uuid, filters jsonb, conditions text, with_vector boolean, wanted integer, wish text,
    OUT plan text, OUT reason text, OUT text_plan text, OUT memories double precision, OUT scope_rows double precision,
    OUT matching_rows double precision, OUT filtered boolean, OUT index_name text, OUT half boolean, OUT lists integer,
    OUT steps double precision
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    few CONSTANT integer := 2000;
    few_to_compare CONSTANT integer := 150;
    deleted boolean := coalesce((filters -> 'include_deleted')::boolean, false);
    sample varchar[];
    table_rows double precision;
BEGIN
    filtered := EXISTS (SELECT FROM jsonb_object_keys(filters) AS key WHERE key NOT LIKE 'include%');
    SELECT s.memories, s.scope_rows, s.sample INTO memories, scope_rows, sample
    FROM memstore.search_scope(tenant, of_user) AS s;
    matching_rows := scope_rows;
    text_plan := CASE WHEN memories <= few THEN 'tenant' WHEN scope_rows <= few THEN 'scope' ELSE 'words' END;
    IF NOT with_vector THEN
        reason := 'no vector was given';
        RETURN;
    END IF;
    IF scope_rows <= few_to_compare AND wish IN ('auto', 'exact') THEN
        plan := 'exact';
        reason := 'so few are compared one by one';
        RETURN;
    END IF;
    SELECT i.name, i.half, i.lists INTO index_name, half, lists FROM memstore.vector_index() AS i;
    table_rows := greatest(memories, (SELECT reltuples FROM pg_class WHERE oid = 'memstore.memory_nodes'::regclass));
    SELECT c.plan, c.reason INTO plan, reason
    FROM memstore.choose_vector_plan(
        scope_rows, matching_rows, table_rows, wanted, index_name IS NOT NULL, filtered OR deleted) AS c;
    -- What the filters leave matters to a walk of the index only, which meets all the others too.
    IF filtered AND (plan = 'index' OR wish = 'index') THEN
        matching_rows := memstore.matching_rows(tenant, of_user, filters, conditions, scope_rows, sample);
        SELECT c.plan, c.reason INTO plan, reason
        FROM memstore.choose_vector_plan(
            scope_rows, matching_rows, table_rows, wanted, index_name IS NOT NULL, true) AS c;
    END IF;
    IF wish = 'index' AND index_name IS NULL THEN
        reason := 'there is no vector index to walk; ' || reason;
    ELSIF wish <> 'auto' THEN
        plan := wish;
        reason := 'asked for; ' || reason;
    END IF;
    IF plan = 'bits' AND deleted THEN
        reason := reason || '; from the table: the covering index has no deleted rows';
    END IF;
    IF plan = 'index' THEN
        steps := memstore.rows_to_fetch(wanted) * table_rows / greatest(matching_rows, 1);
    ELSE
        index_name := NULL;
    END IF;
END
$$
"""

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

SEARCH_MEMORIES = f"""
CREATE FUNCTION memstore.search_memories(
    tenant uuid, query_text text, query_embedding vector, match_count integer, vector_weight double precision,
    text_weight double precision, of_user uuid, min_score double precision, filters jsonb, plan text
) RETURNS TABLE (id varchar, score double precision, vector_score double precision, text_score double precision,
    found_by text)
LANGUAGE plpgsql STABLE SECURITY DEFINER{SETTINGS}
AS $$
DECLARE
    conditions text;
    chosen record;
    question record;
    said record;
    near_ids varchar[];
    similarities double precision[];
    wanted integer := match_count;
BEGIN
    PERFORM memstore.check_tenant(tenant);
    PERFORM memstore.check_search(
        query_text, query_embedding, match_count, vector_weight, text_weight, min_score, plan);
    PERFORM memstore.check_filters(filters);
    conditions := memstore.search_conditions(filters, of_user);
    IF query_text IS NOT NULL AND query_embedding IS NOT NULL THEN
        wanted := greatest(50, 5 * match_count);
    END IF;
    SELECT * INTO chosen FROM memstore.plan_search(
        tenant, of_user, filters, conditions, query_embedding IS NOT NULL, wanted, plan);
    IF query_text IS NOT NULL THEN
        SELECT * INTO question FROM memstore.search_words(tenant, query_text, chosen.text_plan) AS w
        WHERE w.lexemes IS NOT NULL;
    END IF;
    IF query_embedding IS NOT NULL THEN
        SELECT array_agg(near.id), array_agg(near.similarity) INTO near_ids, similarities
        FROM memstore.nearest_memories(
            chosen.plan, conditions, chosen.filtered, tenant, of_user, filters, query_embedding, wanted, chosen.half,
            chosen.lists, chosen.steps
        ) AS near;
    END IF;

    IF question IS NULL THEN
        RETURN QUERY
            SELECT near.id, s.score, near.similarity, NULL::double precision, 'vector'
            FROM unnest(near_ids, similarities) WITH ORDINALITY AS near (id, similarity, place) CROSS JOIN LATERAL (
                SELECT CASE WHEN query_text IS NULL THEN near.similarity ELSE (1 + near.similarity) / 2 END AS score
            ) AS s
            WHERE min_score IS NULL OR s.score >= min_score ORDER BY near.place LIMIT match_count;
        RETURN;
    END IF;
    SELECT * INTO said FROM memstore.memories_by_words(
        chosen.text_plan, conditions, tenant, of_user, filters, query_embedding, question.lexemes, question.documents,
        chosen.memories, vector_weight, text_weight, match_count);
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
                coalesce(near.place <= wanted, false) AS by_vector
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
    conditions text;
    chosen record;
    question record;
    line text;
    statement text;
    lines jsonb := '[]';
    live CONSTANT text := CASE WHEN (filters -> 'include_deleted')::boolean THEN ''
        ELSE ' AND m.deleted_at IS NULL' END;
    wanted integer := CASE WHEN query_text IS NULL OR query_embedding IS NULL THEN match_count
        ELSE greatest(50, 5 * match_count) END;
BEGIN
    PERFORM memstore.check_tenant(tenant);
    PERFORM memstore.check_search(
        query_text, query_embedding, match_count, vector_weight, text_weight, min_score, plan);
    PERFORM memstore.check_filters(filters);
    conditions := memstore.search_conditions(filters, of_user);
    SELECT * INTO chosen FROM memstore.plan_search(
        tenant, of_user, filters, conditions, query_embedding IS NOT NULL, wanted, plan);
    IF query_text IS NOT NULL THEN
        SELECT * INTO question FROM memstore.search_words(tenant, query_text, chosen.text_plan) AS w
        WHERE w.lexemes IS NOT NULL;
    END IF;
    IF question IS NOT NULL THEN
        statement := memstore.words_statement(
            chosen.text_plan, conditions, live, cardinality(question.lexemes));
        FOR line IN EXECUTE 'EXPLAIN ' || statement
            USING tenant, of_user, filters, query_embedding, match_count, ARRAY(
                    SELECT memstore.word_query(ARRAY[l.lexeme], ' | ') FROM unnest(question.lexemes) AS l (lexeme)
                ), question.documents, chosen.memories, memstore.word_query(question.lexemes, ' | '), vector_weight,
                text_weight, match_count, 3000
        LOOP
            lines := lines || to_jsonb(line);
        END LOOP;
    END IF;
    IF query_embedding IS NOT NULL THEN
        PERFORM memstore.set_vector_plan(chosen.plan, chosen.filtered);
        statement := memstore.vector_statement(
            chosen.plan, conditions, chosen.half, memstore.vector_width(query_embedding));
        FOR line IN EXECUTE 'EXPLAIN ' || statement
            USING tenant, of_user, filters, query_embedding, memstore.rows_to_fetch(wanted)
        LOOP
            lines := lines || to_jsonb(line);
        END LOOP;
    END IF;
    RETURN jsonb_build_object(
        'plan', chosen.plan, 'reason', chosen.reason, 'scope_rows', round(chosen.scope_rows),
        'matching_rows', round(chosen.matching_rows), 'index', chosen.index_name,
        'text_plan', CASE WHEN question IS NOT NULL THEN chosen.text_plan END, 'explain', lines
    );
END
$$
"""

CHECK_TENANT = """
CREATE FUNCTION memstore.check_tenant(tenant uuid) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RAISE EXCEPTION 'the tenant % is not the one that is set', coalesce(tenant::text, 'NULL')
            USING ERRCODE = 'insufficient_privilege', HINT = 'Call memstore.hybrid_search().';
    END IF;
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
    "cosine_similarity(vector, vector)": (COSINE_SIMILARITY, "1 - cosine distance, from -1 to 1"),
    "differing_bits(bit, vector)": (
        DIFFERING_BITS,
        "in how many bits the embedding_bits of a memory differ from a vector",
    ),
    "vector_width(vector)": (VECTOR_WIDTH, "how many dimensions a vector has"),
    "filter_values(jsonb, text)": (FILTER_VALUES, "the values of a filter: one, or those of an array"),
    "check_tenant(uuid)": (CHECK_TENANT, "raises unless this is the tenant that is set"),
    "check_filters(jsonb)": (CHECK_FILTERS, "raises unless these are filters of hybrid_search"),
    "check_search(text, vector, integer, double precision, double precision, double precision, text)": (
        CHECK_SEARCH,
        "raises unless these are arguments of hybrid_search",
    ),
    "search_conditions(jsonb, uuid)": (SEARCH_CONDITIONS, "the WHERE of a search; its values are parameters 1 to 3"),
    "rows_to_fetch(integer)": (ROWS_TO_FETCH, "how many rows a walk of the vector index returns for so many wanted"),
    "choose_vector_plan(double precision, double precision, double precision, integer, boolean, boolean)": (
        CHOOSE_VECTOR_PLAN,
        "exact, bits or index, whichever is thought to cost least",
    ),
    "vector_index()": (VECTOR_INDEX, "the vector index that a search would walk"),
    "vector_statement(text, text, boolean, integer)": (VECTOR_STATEMENT, "how each plan finds the nearest vectors"),
    "set_vector_plan(text, boolean)": (SET_VECTOR_PLAN, "keeps PostgreSQL from another plan than the one chosen"),
    "walk_index(text, uuid, uuid, jsonb, vector, integer, double precision, integer)": (
        WALK_INDEX,
        "the nearest vectors by the vector index",
    ),
    "rank_by_bits(text, uuid, uuid, jsonb, vector, integer)": (
        RANK_BY_BITS,
        "the nearest vectors by one bit a dimension, the best of them compared again exactly",
    ),
    "nearest_memories(text, text, boolean, uuid, uuid, jsonb, vector, integer, boolean, integer, double precision)": (
        NEAREST_MEMORIES,
        "the nearest vectors of a scope by the plan that was chosen",
    ),
    "planned_rows(text, uuid, uuid, jsonb)": (PLANNED_ROWS, "how many rows PostgreSQL thinks that a search matches"),
    "count_few(uuid, uuid)": (COUNT_FEW, "how many memories a tenant or a user has, up to 2001"),
    "search_scope(uuid, uuid)": (SEARCH_SCOPE, "how many memories a tenant and a scope are thought to have"),
    "matching_rows(uuid, uuid, jsonb, text, double precision, character varying[])": (
        MATCHING_ROWS,
        "how many memories of a scope the filters are thought to leave",
    ),
    "plan_search(uuid, uuid, jsonb, text, boolean, integer, text)": (PLAN_SEARCH, "how a search is done, and why so"),
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
