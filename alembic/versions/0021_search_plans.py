"""Which plan a search takes, by how many memories are meant.

Serves: hybrid_search and explain_search.
Cost: functions only.
Before, with the plan that PostgreSQL chooses, 100,000 memories: recall@10 0.05 for a tenant with 1 % of them, 0.38 for
one with 10 %. After: 1.00 for both.
Refused: counting the scope for each search.
"""

from __future__ import annotations

from alembic import op

revision = "0021_search_plans"
down_revision = "0020_vector_search"
branch_labels = None
depends_on = None
level = "reversible"

# What they cost was measured on 100,000 memories of 1,024 dimensions, in microseconds: a row compared exactly (most of
# it is fetching the vector), a row by its bits from the covering index, a row met in the table, and a row that a walk
# of the graph looks at, of which there are as many as it takes to meet enough that match (see walk_index); it costs
# less in a small graph, of which more stays in the caches of the processor: 7 us among 4,000, 25 among 100,000. How
# many rows the bits leave to be compared exactly grows as the root of the scope: 146 of 3,000, 243 of 10,000, 411 of
# 30,000. The constants are a little above what was seen.
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
    bits_row CONSTANT double precision := 0.5;
    table_row CONSTANT double precision := 1;
    again_row CONSTANT double precision := 8;
    index_start CONSTANT double precision := 500;
    index_row CONSTANT double precision := 30 * (greatest(table_rows, scope_rows, 1) / 100000) ^ 0.3;
    scan double precision := scope_rows * CASE WHEN from_table THEN table_row ELSE bits_row END;
    again double precision := least(
        matching_rows, greatest(100, 3 * wanted) * (1 + sqrt(matching_rows) / 50));
    exact_cost double precision := matching_rows * exact_row + CASE WHEN from_table THEN scan ELSE 0 END;
    bits_cost double precision := bits_start + scan + again * again_row;
    index_cost double precision := index_start + index_row * greatest(128, 1.3 * memstore.rows_to_fetch(wanted)
        * greatest(table_rows, scope_rows) / greatest(matching_rows, 1));
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

FUNCTIONS = {
    "choose_vector_plan(double precision, double precision, double precision, integer, boolean, boolean)": (
        CHOOSE_VECTOR_PLAN,
        "exact, bits or index, whichever is thought to cost least",
    ),
    "planned_rows(text, uuid, uuid, jsonb)": (PLANNED_ROWS, "how many rows PostgreSQL thinks that a search matches"),
    "count_few(uuid, uuid)": (COUNT_FEW, "how many memories a tenant or a user has, up to 2001"),
    "search_scope(uuid, uuid)": (SEARCH_SCOPE, "how many memories a tenant and a scope are thought to have"),
    "matching_rows(uuid, uuid, jsonb, text, double precision, character varying[])": (
        MATCHING_ROWS,
        "how many memories of a scope the filters are thought to leave",
    ),
    "plan_search(uuid, uuid, jsonb, text, boolean, integer, text)": (PLAN_SEARCH, "how a search is done, and why so"),
}


def upgrade() -> None:
    for function, (definition, comment) in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")


def downgrade() -> None:
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION memstore.{function}")
