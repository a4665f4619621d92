"""Ways in which a schema drifts: what somebody does by hand, and the objects that `check` must name for it.

`{role}` is a role that may do nothing yet, `{app}` one that was let in by `memstore db grant`.
"""

from __future__ import annotations

TABLES = {
    "DROP TABLE memstore.feedback CASCADE": {
        "table memstore.feedback",
        "view memstore.recent_feedback_summary",
    },
    "CREATE TABLE memstore.extra (id integer PRIMARY KEY)": {"table memstore.extra"},
    "ALTER TABLE memstore.agents RENAME TO agents_old": {"table memstore.agents", "table memstore.agents_old"}
    | {
        f"constraint fk_{table}_tenant_id_agent_id_agents on memstore.{table}"
        for table in ("sessions", "agent_tools", "memory_nodes", "activities", "metrics", "evaluations", "feedback")
    }
    | {"view memstore.agent_stats"},
    "COMMENT ON TABLE memstore.agents IS 'robots'": {"table memstore.agents"},
    "ALTER TABLE memstore.metrics SET UNLOGGED": {"table memstore.metrics"},
    "ALTER TABLE memstore.metrics SET (fillfactor = 50)": {"table memstore.metrics"},
    "CREATE TABLE public.child () INHERITS (memstore.metrics)": {"table memstore.metrics"},
    "ALTER TABLE memstore.agents OWNER TO {role}": {"table memstore.agents"},
    "ALTER TABLE memstore.agents DISABLE ROW LEVEL SECURITY": {"table memstore.agents"},
    "ALTER TABLE memstore.settings ENABLE ROW LEVEL SECURITY": {"table memstore.settings"},
    "ALTER TABLE memstore.agents FORCE ROW LEVEL SECURITY": {"table memstore.agents"},
    "REVOKE INSERT, SELECT ON memstore.tenants FROM postgres": {"table memstore.tenants"},
    "ALTER SCHEMA memstore OWNER TO {role}": {"schema memstore"},
    "ALTER SCHEMA memstore OWNER TO {app}": {"schema memstore", "grant on schema memstore to {app}"},
    "ALTER TABLE memstore.agents OWNER TO {app}": {
        "table memstore.agents",
        "grant on table memstore.agents to {app}",
    },
    "COMMENT ON SCHEMA memstore IS 'ours'": {"schema memstore"},
    "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'": {"extension vector"},
    "CREATE TYPE memstore.mood AS ENUM ('good', 'bad')": {"type memstore.mood"},
    "CREATE STATISTICS memstore.together ON name, status FROM memstore.agents": {"statistics object memstore.together"},
    "CREATE SEQUENCE memstore.numbers": {"sequence memstore.numbers"},
    "ALTER SEQUENCE memstore.migration_ledger_id_seq INCREMENT BY 10": {"sequence memstore.migration_ledger_id_seq"},
    "UPDATE memstore.settings SET value = '5'": {"row embedding_dim of memstore.settings"},
    "DELETE FROM memstore.settings": {"row embedding_dim of memstore.settings"},
}

# Of which other objects hang, in ways that only an order of its own mends.
TANGLED = {
    "DROP TABLE memstore.settings": {"table memstore.settings", "row embedding_dim of memstore.settings"},
    "DROP TABLE memstore.tenants CASCADE": {
        "table memstore.tenants",
        "function memstore.purge_expired_memories(integer)",
    }
    | {
        f"constraint fk_{table}_tenant_id_tenants on memstore.{table}"
        for table in [
            "activities",
            "agent_tools",
            "agents",
            "document_chunks",
            "documents",
            "embeddings",
            "episode_nodes",
            "episodic_memories",
            "evaluations",
            "feedback",
            "memory_access_log",
            "memory_nodes",
            "memory_relationships",
            "metrics",
            "search_metrics",
            "sessions",
            "tools",
            "users",
        ]
    },
    "ALTER TABLE memstore.agents DROP CONSTRAINT pk_agents CASCADE": {"constraint pk_agents on memstore.agents"}
    | {
        f"constraint fk_{table}_tenant_id_agent_id_agents on memstore.{table}"
        for table in ("sessions", "agent_tools", "memory_nodes", "activities", "metrics", "evaluations", "feedback")
    },
    "CREATE TABLE memstore.kid () INHERITS (memstore.metrics)": {"table memstore.kid"},
    "CREATE TABLE public.par (); ALTER TABLE memstore.metrics INHERIT public.par": {"table memstore.metrics"},
    "CREATE FUNCTION memstore.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW;END'; "
    "CREATE TRIGGER watch BEFORE UPDATE ON memstore.agents FOR EACH ROW EXECUTE FUNCTION memstore.watch()": {
        "function memstore.watch()",
        "trigger watch on memstore.agents",
    },
    "ALTER FUNCTION memstore.purge_activities RENAME TO purge_all": {
        "function memstore.purge_activities(interval,integer)",
        "function memstore.purge_all(interval,integer)",
    },
    "DROP FUNCTION memstore.decay_score CASCADE": {
        "function memstore.decay_score(timestamp with time zone,double precision,integer,bigint,"
        "timestamp with time zone)",
        "view memstore.active_memories",
    },
    "ALTER TABLE memstore.migration_ledger ALTER COLUMN id DROP IDENTITY": {"column memstore.migration_ledger.id"},
    "ALTER TABLE memstore.agents ALTER COLUMN version DROP DEFAULT, "
    "ALTER COLUMN version ADD GENERATED ALWAYS AS IDENTITY": {"column memstore.agents.version"},
    "DROP FUNCTION memstore.purge_metrics(interval, integer); CREATE FUNCTION memstore.purge_metrics(older interval, "
    "batch integer DEFAULT 1) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'": {
        "function memstore.purge_metrics(interval,integer)"
    },
}

COLUMNS = {
    "ALTER TABLE memstore.agents ADD COLUMN extra text": {"column memstore.agents.extra"},
    "ALTER TABLE memstore.agents DROP COLUMN behavior_name": {"column memstore.agents.behavior_name"},
    "ALTER TABLE memstore.agents RENAME COLUMN behavior_name TO behaviour_name": {
        "column memstore.agents.behavior_name",
        "column memstore.agents.behaviour_name",
    },
    "ALTER TABLE memstore.tools ALTER COLUMN category TYPE text": {"column memstore.tools.category"},
    "ALTER TABLE memstore.tools ALTER COLUMN category TYPE varchar(60)": {"column memstore.tools.category"},
    'ALTER TABLE memstore.agents ALTER COLUMN description TYPE text COLLATE "C"': {
        "column memstore.agents.description"
    },
    "DROP TRIGGER touch ON memstore.episodic_memories; "
    "ALTER TABLE memstore.episodic_memories ALTER COLUMN embedding TYPE vector(5)": {
        "column memstore.episodic_memories.embedding",
        "trigger touch on memstore.episodic_memories",
    },
    "ALTER TABLE memstore.agents ALTER COLUMN language DROP NOT NULL": {"column memstore.agents.language"},
    "ALTER TABLE memstore.agents ALTER COLUMN description SET NOT NULL": {"column memstore.agents.description"},
    "ALTER TABLE memstore.agents ALTER COLUMN language SET DEFAULT 'de'": {"column memstore.agents.language"},
    "ALTER TABLE memstore.agents ALTER COLUMN created_at DROP DEFAULT": {"column memstore.agents.created_at"},
    "ALTER TABLE memstore.agents ALTER COLUMN description SET DEFAULT ''": {"column memstore.agents.description"},
    "ALTER TABLE memstore.memory_nodes ALTER COLUMN content SET STORAGE EXTERNAL": {
        "column memstore.memory_nodes.content"
    },
    "ALTER TABLE memstore.memory_nodes ALTER COLUMN embedding SET STORAGE EXTENDED": {
        "column memstore.memory_nodes.embedding"
    },
    "ALTER TABLE memstore.activities ALTER COLUMN cost SET STORAGE EXTERNAL": {"column memstore.activities.cost"},
    "ALTER TABLE memstore.memory_nodes ALTER COLUMN content SET COMPRESSION pglz": {
        "column memstore.memory_nodes.content"
    },
    "COMMENT ON COLUMN memstore.agents.metadata IS NULL": {"column memstore.agents.metadata"},
    "COMMENT ON COLUMN memstore.agents.name IS 'what it is called'": {"column memstore.agents.name"},
    "ALTER TABLE memstore.migration_ledger ALTER COLUMN id SET GENERATED BY DEFAULT": {
        "column memstore.migration_ledger.id"
    },
    "ALTER TABLE memstore.memory_nodes DROP COLUMN search_vector, "
    "ADD COLUMN search_vector tsvector GENERATED ALWAYS AS (to_tsvector('simple', content)) STORED": {
        "column memstore.memory_nodes.search_vector",
        "index memstore.ix_memory_nodes_search_vector",
    },
    "ALTER TABLE memstore.document_chunks ALTER COLUMN search_vector DROP EXPRESSION": {
        "column memstore.document_chunks.search_vector"
    },
}

CONSTRAINTS = {
    "ALTER TABLE memstore.agents DROP CONSTRAINT ck_agents_status": {"constraint ck_agents_status on memstore.agents"},
    "ALTER TABLE memstore.agents DROP CONSTRAINT ck_agents_status, "
    "ADD CONSTRAINT ck_agents_status CHECK (status <> '')": {"constraint ck_agents_status on memstore.agents"},
    "ALTER TABLE memstore.agents DROP CONSTRAINT ck_agents_status, "
    "ADD CONSTRAINT ck_agents_status CHECK (status IN ('draft', 'active', 'inactive', 'archived')) NOT VALID": {
        "constraint ck_agents_status on memstore.agents"
    },
    "ALTER TABLE memstore.agents ADD CONSTRAINT short CHECK (length(name) < 9)": {
        "constraint short on memstore.agents"
    },
    "ALTER TABLE memstore.agents RENAME CONSTRAINT ck_agents_status TO ck_status": {
        "constraint ck_agents_status on memstore.agents",
        "constraint ck_status on memstore.agents",
    },
    "ALTER TABLE memstore.users DROP CONSTRAINT uq_users_auth_provider_external_id": {
        "constraint uq_users_auth_provider_external_id on memstore.users"
    },
    "ALTER TABLE memstore.sessions DROP CONSTRAINT fk_sessions_tenant_id_agent_id_agents": {
        "constraint fk_sessions_tenant_id_agent_id_agents on memstore.sessions"
    },
    "ALTER TABLE memstore.sessions DROP CONSTRAINT fk_sessions_tenant_id_agent_id_agents, "
    "ADD CONSTRAINT fk_sessions_tenant_id_agent_id_agents FOREIGN KEY (tenant_id, agent_id) "
    "REFERENCES memstore.agents": {"constraint fk_sessions_tenant_id_agent_id_agents on memstore.sessions"},
    "ALTER TABLE memstore.sessions DISABLE TRIGGER ALL": {
        "constraint fk_sessions_tenant_id_agent_id_agents on memstore.sessions",
        "constraint fk_sessions_tenant_id_tenants on memstore.sessions",
        "constraint fk_sessions_tenant_id_user_id_users on memstore.sessions",
        "trigger touch on memstore.sessions",
    }
    | {
        f"constraint fk_{table}_tenant_id_session_id_sessions on memstore.{table}"
        for table in ("memory_nodes", "activities", "feedback")
    },
    "COMMENT ON CONSTRAINT ck_agents_status ON memstore.agents IS 'the states'": {
        "constraint ck_agents_status on memstore.agents"
    },
}

_CLOSED = "memstore.ix_sessions_expires_at"
_TAGS = "memstore.ix_memory_nodes_tags"
_BITS = "memstore.ix_memory_nodes_tenant_id_user_id_id_bits"

INDEXES = {
    f"DROP INDEX {_CLOSED}": {f"index {_CLOSED}"},
    f"ALTER INDEX {_CLOSED} RENAME TO ix_other": {f"index {_CLOSED}", "index memstore.ix_other"},
    "CREATE INDEX ix_extra ON memstore.agents (name)": {"index memstore.ix_extra"},
    f"DROP INDEX {_CLOSED}; CREATE INDEX ix_sessions_expires_at ON memstore.sessions USING brin (expires_at) "
    "WHERE status = 'active'": {f"index {_CLOSED}"},
    f"DROP INDEX {_TAGS}; CREATE INDEX ix_memory_nodes_tags ON memstore.memory_nodes USING gin (tags)": {
        f"index {_TAGS}"
    },
    f"DROP INDEX {_TAGS}; CREATE INDEX ix_memory_nodes_tags ON memstore.memory_nodes USING gin "
    "(tags jsonb_path_ops) WITH (fastupdate = off)": {f"index {_TAGS}"},
    f"ALTER INDEX {_TAGS} SET (gin_pending_list_limit = 64)": {f"index {_TAGS}"},
    f"DROP INDEX {_CLOSED}; CREATE INDEX ix_sessions_expires_at ON memstore.sessions (expires_at)": {
        f"index {_CLOSED}"
    },
    f"DROP INDEX {_CLOSED}; CREATE INDEX ix_sessions_expires_at ON memstore.sessions (expires_at) "
    "WHERE status = 'closed'": {f"index {_CLOSED}"},
    f"DROP INDEX {_CLOSED}; CREATE INDEX ix_sessions_expires_at ON memstore.sessions (expires_at DESC) "
    "WHERE status = 'active'": {f"index {_CLOSED}"},
    f"DROP INDEX {_CLOSED}; CREATE UNIQUE INDEX ix_sessions_expires_at ON memstore.sessions (expires_at) "
    "WHERE status = 'active'": {f"index {_CLOSED}"},
    f"DROP INDEX {_BITS}; CREATE INDEX ix_memory_nodes_tenant_id_user_id_id_bits ON memstore.memory_nodes "
    "(tenant_id, user_id, id)": {f"index {_BITS}"},
    f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{_CLOSED}'::regclass": {f"index {_CLOSED}"},
    f"COMMENT ON INDEX {_CLOSED} IS 'for cleaning up'": {f"index {_CLOSED}"},
    "CREATE INDEX mine ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops); "
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memstore.mine'::regclass": {"index memstore.mine"},
}

# Which of its attributes an index is said to differ in, by what is in the change.
INDEX_ATTRIBUTES = {
    "USING brin": {"method", "operator_classes"},
    "USING gin (tags)": {"operator_classes"},
    "fastupdate = off": {"options"},
    "gin_pending_list_limit": {"options"},
    "sessions (expires_at)": {"where"},
    "= 'closed'": {"where"},
    "(expires_at DESC)": {"order"},
    "CREATE UNIQUE": {"unique"},
    "(tenant_id, user_id, id)": {"include", "where"},
    "indisvalid": {"valid"},
    "COMMENT": {"comment"},
}

_TOUCH = "CREATE OR REPLACE FUNCTION memstore.touch() RETURNS trigger LANGUAGE plpgsql"

FUNCTIONS = {
    f"{_TOUCH} AS $$ BEGIN RETURN NEW;END $$": {"function memstore.touch()"},
    "ALTER FUNCTION memstore.touch() SECURITY DEFINER": {"function memstore.touch()"},
    "ALTER FUNCTION memstore.current_tenant() VOLATILE": {"function memstore.current_tenant()"},
    "ALTER FUNCTION memstore.current_tenant() SET search_path = public": {"function memstore.current_tenant()"},
    "COMMENT ON FUNCTION memstore.touch() IS NULL": {"function memstore.touch()"},
    "ALTER FUNCTION memstore.touch() OWNER TO {role}": {"function memstore.touch()"},
    "DROP FUNCTION memstore.purge_activities(interval, integer)": {
        "function memstore.purge_activities(interval,integer)"
    },
    "CREATE FUNCTION memstore.touch(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1'": {
        "function memstore.touch(integer)"
    },
    "CREATE PROCEDURE memstore.nothing() LANGUAGE sql AS ''": {"procedure memstore.nothing()"},
    "CREATE AGGREGATE memstore.total (integer) (SFUNC = int4pl, STYPE = integer)": {
        "aggregate memstore.total(integer)"
    },
    "ALTER TABLE memstore.agents DISABLE TRIGGER touch": {"trigger touch on memstore.agents"},
    "ALTER TABLE memstore.agents ENABLE REPLICA TRIGGER touch": {"trigger touch on memstore.agents"},
    "DROP TRIGGER touch ON memstore.agents": {"trigger touch on memstore.agents"},
    "CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON memstore.agents FOR EACH ROW EXECUTE FUNCTION memstore.touch()": {
        "trigger touch on memstore.agents"
    },
    "CREATE TRIGGER again BEFORE UPDATE ON memstore.agents FOR EACH ROW EXECUTE FUNCTION memstore.touch()": {
        "trigger again on memstore.agents"
    },
    "COMMENT ON TRIGGER touch ON memstore.agents IS 'counts'": {"trigger touch on memstore.agents"},
    "CREATE RULE quiet AS ON DELETE TO memstore.agents DO INSTEAD NOTHING": {"rule quiet on memstore.agents"},
}

VIEWS = {
    "DROP VIEW memstore.vector_search_stats": {"view memstore.vector_search_stats"},
    "CREATE VIEW memstore.names AS SELECT name FROM memstore.agents": {"view memstore.names"},
    "CREATE MATERIALIZED VIEW memstore.names AS SELECT name FROM memstore.agents": {"materialized view memstore.names"},
    "ALTER VIEW memstore.agent_stats SET (security_invoker = false)": {"view memstore.agent_stats"},
    "ALTER VIEW memstore.agent_stats RESET (security_invoker)": {"view memstore.agent_stats"},
    "ALTER VIEW memstore.agent_stats SET (security_barrier = true)": {"view memstore.agent_stats"},
    "CREATE OR REPLACE VIEW memstore.vector_search_stats WITH (security_invoker = true) AS "
    "SELECT tenant_id, source_type, model, dimensions, 0::bigint AS total_embeddings, 0::bigint AS total_sources, "
    "now() AS first_created_at, now() AS last_updated_at FROM memstore.embeddings": {
        "view memstore.vector_search_stats"
    },
    "ALTER VIEW memstore.agent_stats RENAME COLUMN name TO agent_name": {"view memstore.agent_stats"},
    "COMMENT ON VIEW memstore.agent_stats IS 'numbers'": {"view memstore.agent_stats"},
    "DROP TRIGGER refuse_write ON memstore.active_memories": {"trigger refuse_write on memstore.active_memories"},
}

POLICIES = {
    "DROP POLICY tenant_isolation ON memstore.agents": {"policy tenant_isolation on memstore.agents"},
    "CREATE POLICY everybody ON memstore.agents USING (true)": {"policy everybody on memstore.agents"},
    "ALTER POLICY tenant_isolation ON memstore.agents USING (true)": {"policy tenant_isolation on memstore.agents"},
    "ALTER POLICY tenant_isolation ON memstore.agents WITH CHECK (true)": {
        "policy tenant_isolation on memstore.agents"
    },
    "ALTER POLICY tenant_isolation ON memstore.agents USING (tenant_id = memstore.current_tenant() OR name = 'x')": {
        "policy tenant_isolation on memstore.agents"
    },
    "ALTER POLICY tenant_isolation ON memstore.agents TO {role}": {"policy tenant_isolation on memstore.agents"},
    "DROP POLICY tenant_isolation ON memstore.agents; CREATE POLICY tenant_isolation ON memstore.agents FOR SELECT "
    "USING (tenant_id = memstore.current_tenant())": {"policy tenant_isolation on memstore.agents"},
    "DROP POLICY tenant_isolation ON memstore.agents; CREATE POLICY tenant_isolation ON memstore.agents AS RESTRICTIVE "
    "USING (tenant_id = memstore.current_tenant()) WITH CHECK (tenant_id = memstore.current_tenant())": {
        "policy tenant_isolation on memstore.agents"
    },
    "ALTER POLICY tenant_isolation ON memstore.agents RENAME TO isolation": {
        "policy tenant_isolation on memstore.agents",
        "policy isolation on memstore.agents",
    },
}

GRANTS = {
    "GRANT SELECT ON memstore.agents TO PUBLIC": {"grant on table memstore.agents to PUBLIC"},
    "GRANT SELECT (id), UPDATE (id) ON memstore.agents TO PUBLIC": {"grant on column memstore.agents.id to PUBLIC"},
    "ALTER ROLE {app} BYPASSRLS": {"role {app}"},
    "REVOKE EXECUTE ON FUNCTION memstore.current_tenant() FROM PUBLIC, {app}": {
        "grant on function memstore.current_tenant() to {app}"
    },
    "GRANT USAGE ON SEQUENCE memstore.migration_ledger_id_seq TO {role}": {
        "grant on sequence memstore.migration_ledger_id_seq to {role}"
    },
    "GRANT TRUNCATE ON memstore.agents TO {role}": {"grant on table memstore.agents to {role}"},
    "GRANT SELECT ON memstore.migration_ledger TO {role}": {"grant on table memstore.migration_ledger to {role}"},
    "GRANT CREATE ON SCHEMA memstore TO {role}": {"grant on schema memstore to {role}"},
    "GRANT SELECT ON memstore.agents TO {role} WITH GRANT OPTION": {"grant on table memstore.agents to {role}"},
    "GRANT REFERENCES (name) ON memstore.agents TO {role}": {"grant on column memstore.agents.name to {role}"},
    "GRANT DELETE ON memstore.tenants TO {app}": {"grant on table memstore.tenants to {app}"},
    "GRANT UPDATE ON memstore.memory_access_log TO {app}": {"grant on table memstore.memory_access_log to {app}"},
    "REVOKE UPDATE ON memstore.agents FROM {app}": {"grant on table memstore.agents to {app}"},
    "REVOKE ALL ON memstore.active_memories FROM {app}": {"grant on view memstore.active_memories to {app}"},
    "GRANT EXECUTE ON FUNCTION memstore.touch() TO {role} WITH GRANT OPTION": {
        "grant on function memstore.touch() to {role}"
    },
}

MUTATIONS = {**TABLES, **TANGLED, **COLUMNS, **CONSTRAINTS, **INDEXES, **FUNCTIONS, **VIEWS, **POLICIES, **GRANTS}

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
    "CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions",
)
