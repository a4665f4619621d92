"""Drift of tables, columns, constraints and indexes; see mutations.py."""

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
            "mirror_rejections",
            "search_metrics",
            "search_statistics",
            "sessions",
            "tools",
            "users",
            "word_statistics",
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
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memstore.pk_document_chunks'::regclass": {
        "constraint pk_document_chunks on memstore.document_chunks"
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
    "DROP INDEX memstore.ix_episode_nodes_tenant_id_node_id; CREATE INDEX ix_episode_nodes_tenant_id_node_id "
    'ON memstore.episode_nodes (tenant_id, node_id COLLATE "C")': {"index memstore.ix_episode_nodes_tenant_id_node_id"},
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
