"""Drift of functions, triggers, views, policies and grants; see mutations.py."""

from __future__ import annotations

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

_NODES = "ALTER TABLE memstore.memory_nodes"
# All off, as they are made, or all on: either is for an operator to say.
ALL_OF_THE_MIRROR_ON = (
    f"{_NODES} ENABLE TRIGGER mirror_insert, ENABLE TRIGGER mirror_update, ENABLE TRIGGER mirror_delete, "
    "ENABLE TRIGGER mirror_truncate"
)
MIRROR_TRIGGERS = {
    f"{ALL_OF_THE_MIRROR_ON}; DROP TRIGGER mirror_insert ON memstore.memory_nodes": {
        "trigger mirror_insert on memstore.memory_nodes"
    },
    f"{_NODES} ENABLE TRIGGER mirror_delete": {
        f"trigger mirror_{event} on memstore.memory_nodes" for event in ("insert", "update", "truncate")
    },
    f"{_NODES} ENABLE ALWAYS TRIGGER mirror_delete": {"trigger mirror_delete on memstore.memory_nodes"},
    "DROP TRIGGER mirror_insert ON memstore.memory_nodes": {"trigger mirror_insert on memstore.memory_nodes"},
    "CREATE OR REPLACE TRIGGER mirror_truncate AFTER TRUNCATE ON memstore.memory_nodes EXECUTE FUNCTION "
    f"memstore.enqueue_for_mirror(); {_NODES} DISABLE TRIGGER mirror_truncate": {
        "trigger mirror_truncate on memstore.memory_nodes"
    },
    f"{_NODES} DISABLE TRIGGER ALL; {_NODES} ENABLE TRIGGER touch": {
        f"constraint fk_memory_nodes_tenant_id_{key} on memstore.memory_nodes"
        for key in ("tenants", "agent_id_agents", "session_id_sessions", "user_id_users")
    }
    | {
        f"constraint fk_{table}_tenant_id_{column}_memory_nodes on memstore.{table}"
        for table, column in (
            ("episode_nodes", "node_id"),
            ("memory_relationships", "source_id"),
            ("memory_relationships", "target_id"),
        )
    },
    "ALTER FUNCTION memstore.enqueue_for_mirror() SECURITY INVOKER": {"function memstore.enqueue_for_mirror()"},
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
    "DROP POLICY tenant_isolation ON memstore.agents; CREATE POLICY tenant_isolation ON memstore.agents FOR UPDATE "
    "USING (tenant_id = memstore.current_tenant()) WITH CHECK (tenant_id = memstore.current_tenant())": {
        "policy tenant_isolation on memstore.agents"
    },
    "COMMENT ON POLICY tenant_isolation ON memstore.agents IS 'ours'": {"policy tenant_isolation on memstore.agents"},
    "ALTER POLICY tenant_isolation ON memstore.agents RENAME TO isolation": {
        "policy tenant_isolation on memstore.agents",
        "policy isolation on memstore.agents",
    },
}

GRANTS = {
    "GRANT EXECUTE ON FUNCTION memstore.enqueue_for_mirror() TO {app}": {
        "grant on function memstore.enqueue_for_mirror() to {app}"
    },
    "GRANT EXECUTE ON FUNCTION memstore.enqueue_for_mirror() TO PUBLIC": {
        "grant on function memstore.enqueue_for_mirror() to PUBLIC"
    },
    "GRANT DELETE ON memstore.mirror_rejections TO {app}": {"grant on table memstore.mirror_rejections to {app}"},
    "GRANT INSERT ON memstore.mirror_outbox TO {app}": {"grant on table memstore.mirror_outbox to {app}"},
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
