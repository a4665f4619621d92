"""What a search may be asked: its filters as conditions, and what is refused.

Serves: hybrid_search.
Cost: functions only.
Refused: a filter's value in the text of a statement; all of them are parameters.
"""

from __future__ import annotations

from alembic import op

revision = "0019_search_conditions"
down_revision = "0018_search_statistics"
branch_labels = None
depends_on = None
level = "reversible"

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

FUNCTIONS = {
    "vector_width(vector)": (VECTOR_WIDTH, "how many dimensions a vector has"),
    "filter_values(jsonb, text)": (FILTER_VALUES, "the values of a filter: one, or those of an array"),
    "check_tenant(uuid)": (CHECK_TENANT, "raises unless this is the tenant that is set"),
    "check_filters(jsonb)": (CHECK_FILTERS, "raises unless these are filters of hybrid_search"),
    "check_search(text, vector, integer, double precision, double precision, double precision, text)": (
        CHECK_SEARCH,
        "raises unless these are arguments of hybrid_search",
    ),
    "search_conditions(jsonb, uuid)": (SEARCH_CONDITIONS, "the WHERE of a search; its values are parameters 1 to 3"),
}


def upgrade() -> None:
    for function, (definition, comment) in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")


def downgrade() -> None:
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
