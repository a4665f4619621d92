"""Ways in which a schema drifts: what somebody does by hand, and the objects that `check` must name for it.

`{role}` is a role that may do nothing yet, `{app}` one that was let in by `memstore db grant`.
"""

from __future__ import annotations

from tests.migrations.catalog.mutations_of_code import (
    ALL_OF_THE_MIRROR_ON,
    FUNCTIONS,
    GRANTS,
    MIRROR_TRIGGERS,
    POLICIES,
    VIEWS,
)
from tests.migrations.catalog.mutations_of_tables import COLUMNS, CONSTRAINTS, INDEXES, TABLES, TANGLED

OF_TABLES = {**TABLES, **TANGLED, **COLUMNS, **CONSTRAINTS, **INDEXES}
MUTATIONS = {**OF_TABLES, **FUNCTIONS, **MIRROR_TRIGGERS, **VIEWS, **POLICIES, **GRANTS}

# What an operator may do, and no revision is about.
HARMLESS = (
    "GRANT SELECT ON memstore.agents TO {role}",
    "GRANT USAGE ON SCHEMA memstore TO {role}",
    "GRANT INSERT ON memstore.memory_nodes TO {role}",
    "GRANT UPDATE (name) ON memstore.agents TO {role}",
    "ALTER ROLE {role} BYPASSRLS",
    "SET intervalstyle = 'sql_standard'; SET datestyle = 'German'; SET timezone = 'Asia/Tokyo'",
    "SET quote_all_identifiers = on; SET extra_float_digits = 3; SET search_path = memstore, public",
    "ALTER EXTENSION vector SET SCHEMA memstore",
    "GRANT SELECT (id, name) ON memstore.agents TO {role}",
    "REVOKE EXECUTE ON FUNCTION memstore.touch() FROM PUBLIC",
    "CREATE INDEX mine ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)",
    "CREATE INDEX mine ON memstore.memory_nodes USING ivfflat ((embedding::halfvec(4)) halfvec_cosine_ops)",
    "ALTER TABLE memstore.memory_nodes SET (autovacuum_vacuum_scale_factor = 0.01)",
    "ALTER TABLE memstore.memory_nodes ALTER COLUMN conversation_id SET STATISTICS 1000",
    "ALTER TABLE memstore.memory_nodes REPLICA IDENTITY FULL",
    "CREATE TABLE public.agents (id integer)",
    ALL_OF_THE_MIRROR_ON,
    "CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions",
)
