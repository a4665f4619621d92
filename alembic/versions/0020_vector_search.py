"""The nearest vectors of a scope by one of three plans: compare all, rank by the bits first, or walk the vector index.

Serves: hybrid_search, which chooses the plan.
Cost: functions only.
Refused: leaving the choice to PostgreSQL (it does not know what an index leaves out, and says nothing); a fixed number
of memories to compare after the bits, which is too many for easy data and too few for hard.

The operators of pgvector are bound when cosine_similarity and the like are made, and are inlined from there: its schema
need not be on any search path.
"""

from __future__ import annotations

from alembic import op

revision = "0020_vector_search"
down_revision = "0019_search_conditions"
branch_labels = None
depends_on = None
level = "reversible"

# What has to be as it was on return is in the header. The settings of pgvector are not: a header with them could be
# created, or restored from a dump, by superusers only; they are put back by hand, and by PostgreSQL after an error.
SETTINGS = """
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = on SET enable_bitmapscan = on SET enable_sort = on SET enable_hashjoin = on
SET enable_mergejoin = on SET work_mem = '64MB'"""

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

# More than wanted: a walk of the graph compares vectors of half the precision, and goes on in an order that is not
# quite that of distance.
ROWS_TO_FETCH = """
CREATE FUNCTION memstore.rows_to_fetch(wanted integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT wanted + greatest(10, wanted / 2) $$
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

# The parameters of each statement: 1 the tenant, 2 the user, 3 the filters, 4 the vector, 5 how many. With a length of
# one a query has a place among halfvecs: as it is, its numbers may be too large for them, or nothing.
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
                                '%1$I.l2_normalize($4)::%1$I.halfvec(%2$s)', nspname, width)
                    ELSE format(' ORDER BY m.embedding OPERATOR(%1$I.<=>) $4', nspname) END
                || ' LIMIT $5) SELECT near.id, memstore.cosine_similarity(near.embedding, $4) AS similarity '
                'FROM near ORDER BY similarity DESC, near.id COLLATE "C"'
            FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'
        )
    END
$$
"""

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

# Walks the graph or the lists, and puts the settings of pgvector back: `fetched` is how many rows it returns, `steps`
# how many it is thought to meet until then. What a graph returns at once is in order and cheaper than what it goes on
# with, so that it looks at a third more at once; the 128 are for recall, which with 100 is at 0.99 and with 40 at 0.98.
# Where it meets fewer than was thought, as when the question is about what others have, it goes on for long: the bits,
# to which it could give way, tell vectors apart badly that are all far from the question (among ten tenants by subject
# they find 0.973 of the nearest, this 0.986).
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
    needed text[] := ARRAY['relaxed_order', least(1000, greatest(128, 1.3 * steps))::integer::text,
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

FUNCTIONS = {
    "cosine_similarity(vector, vector)": (COSINE_SIMILARITY, "1 - cosine distance, from -1 to 1"),
    "differing_bits(bit, vector)": (
        DIFFERING_BITS,
        "in how many bits the embedding_bits of a memory differ from a vector",
    ),
    "rows_to_fetch(integer)": (ROWS_TO_FETCH, "how many rows a walk of the vector index returns for so many wanted"),
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
}


def upgrade() -> None:
    for function, (definition, comment) in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")


def downgrade() -> None:
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
