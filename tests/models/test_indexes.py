"""Each index serves a query: one that memstore runs, that a foreign key runs, or that applications have a table for.

An index that the planner does not choose for its query, though it may not read the table from end to end, is of no use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

A, X = str(UUID(int=1)), str(UUID(int=5))


def names(table: str, column: str) -> str:
    """What a foreign key asks of the table that holds it when a row that it names is deleted."""
    value = "mem_7" if column in ("node_id", "target_id") else X
    return f"SELECT FROM ONLY memstore.{table} AS t WHERE '{A}' = tenant_id AND '{value}' = {column} FOR KEY SHARE OF t"


# The index, and a query that it serves.
SERVES = {
    "uq_tenants_external_id": "SELECT FROM memstore.tenants WHERE external_id = 'acme'",
    "uq_users_auth_provider_external_id": (
        "SELECT FROM memstore.users WHERE auth_provider = 'test' AND external_id = '5'"
    ),
    "ix_sessions_expires_at": (
        "SELECT FROM memstore.sessions WHERE status = 'active' AND expires_at <= now() ORDER BY expires_at LIMIT 9"
    ),
    "ix_sessions_updated_at": (
        "SELECT id FROM memstore.sessions WHERE status = 'closed' AND updated_at < now() - interval '300 days' LIMIT 9 "
        "FOR UPDATE SKIP LOCKED"
    ),
    "ix_sessions_tenant_id_agent_id": (
        f"SELECT total_sessions FROM memstore.agent_stats WHERE tenant_id = '{A}' AND agent_id = '{X}'"
    ),
    "ix_sessions_tenant_id_user_id": names("sessions", "user_id"),
    "uq_tools_tenant_id_name": f"SELECT FROM memstore.tools WHERE tenant_id = '{A}' AND name = '5'",
    "ix_agent_tools_tenant_id_tool_id": names("agent_tools", "tool_id"),
    "uq_memory_nodes_tenant_id_agent_id_user_id_key": (
        f"SELECT FROM memstore.memory_nodes WHERE tenant_id = '{A}' AND agent_id = '{X}' AND user_id = '{X}' "
        "AND key = '5' AND deleted_at IS NULL"
    ),
    "ix_memory_nodes_tenant_id_created_at": (
        f"SELECT id FROM memstore.memory_nodes WHERE tenant_id = '{A}' AND deleted_at IS NULL "
        "ORDER BY created_at DESC, id LIMIT 5"
    ),
    "ix_memory_nodes_tenant_id_user_id_created_at": (
        f"SELECT FROM memstore.memory_nodes WHERE tenant_id = '{A}' AND user_id = '{X}' "
        "ORDER BY created_at DESC LIMIT 5"
    ),
    "ix_memory_nodes_tenant_id_conversation_id_sequence_index": (
        f"SELECT FROM memstore.memory_nodes WHERE tenant_id = '{A}' AND conversation_id = '5' ORDER BY sequence_index"
    ),
    "ix_memory_nodes_tenant_id_agent_id": names("memory_nodes", "agent_id"),
    "ix_memory_nodes_tenant_id_session_id": names("memory_nodes", "session_id"),
    "ix_memory_nodes_tenant_id_expiry": (
        f"SELECT FROM memstore.memory_nodes WHERE tenant_id = '{A}' AND expiry <= now() ORDER BY expiry LIMIT 9"
    ),
    "ix_memory_nodes_search_vector": (
        "SELECT FROM memstore.memory_nodes WHERE search_vector @@ to_tsquery('english', 'word7')"
    ),
    "ix_memory_nodes_tags": """SELECT FROM memstore.memory_nodes WHERE tags @> '{"topics": ["7"]}'""",
    "ix_memory_nodes_tenant_id_user_id_id_bits": (
        f"SELECT id FROM memstore.memory_nodes WHERE tenant_id = '{A}' AND user_id = '{X}' AND deleted_at IS NULL "
        "ORDER BY embedding_bits <~> binary_quantize(CAST('[1,2,3,4]' AS vector)) LIMIT 5"
    ),
    "ix_episodic_memories_tenant_id_user_id_created_at": (
        f"SELECT FROM memstore.episodic_memories WHERE tenant_id = '{A}' AND user_id = '{X}' "
        "ORDER BY created_at DESC LIMIT 5"
    ),
    "uq_episode_nodes_tenant_id_episode_id_position": (
        f"SELECT node_id FROM memstore.episode_nodes WHERE tenant_id = '{A}' AND episode_id = '5' ORDER BY position"
    ),
    "ix_episode_nodes_tenant_id_node_id": names("episode_nodes", "node_id"),
    "ix_memory_relationships_tenant_id_target_id": names("memory_relationships", "target_id"),
    "uq_documents_tenant_id_source_uri": (
        f"SELECT FROM memstore.documents WHERE tenant_id = '{A}' AND source_uri = '5'"
    ),
    "uq_embeddings_tenant_id_source_type_source_id_model_chunk_index": (
        f"SELECT FROM memstore.embeddings WHERE tenant_id = '{A}' AND source_type = 'page' AND source_id = '5' "
        "AND model = 'bench' AND chunk_index = 0"
    ),
    "ix_embeddings_search_vector": (
        "SELECT FROM memstore.embeddings WHERE search_vector @@ to_tsquery('english', 'word7')"
    ),
    "ix_activities_tenant_id_agent_id_created_at": (
        f"SELECT total_cost FROM memstore.agent_stats WHERE tenant_id = '{A}' AND agent_id = '{X}'"
    ),
    "ix_activities_tenant_id_session_id": names("activities", "session_id"),
    "ix_activities_created_at": (
        "SELECT id FROM memstore.activities WHERE created_at < now() - interval '330 days' LIMIT 9 "
        "FOR UPDATE SKIP LOCKED"
    ),
    "ix_metrics_tenant_id_agent_id": names("metrics", "agent_id"),
    "ix_metrics_tenant_id_metric_name_timestamp": (
        f"SELECT value FROM memstore.metrics WHERE tenant_id = '{A}' AND metric_name = '5' "
        "ORDER BY timestamp DESC LIMIT 5"
    ),
    "ix_metrics_labels": """SELECT FROM memstore.metrics WHERE labels @> '{"tool": "7"}'""",
    "ix_metrics_timestamp": (
        "SELECT id FROM memstore.metrics WHERE timestamp < now() - interval '330 days' LIMIT 9 FOR UPDATE SKIP LOCKED"
    ),
    "ix_evaluations_tenant_id_agent_id_created_at": (
        f"SELECT FROM memstore.evaluations WHERE tenant_id = '{A}' AND agent_id = '{X}' "
        "ORDER BY created_at DESC LIMIT 5"
    ),
    "ix_feedback_tenant_id_created_at": f"SELECT FROM memstore.recent_feedback_summary WHERE tenant_id = '{A}'",
    "ix_feedback_tenant_id_agent_id": names("feedback", "agent_id"),
    "ix_feedback_tenant_id_session_id": names("feedback", "session_id"),
    "ix_feedback_tenant_id_activity_id": names("feedback", "activity_id"),
    "ix_memory_access_log_tenant_id_memory_id_accessed_at": (
        f"SELECT FROM memstore.memory_access_log WHERE tenant_id = '{A}' AND memory_id = 'mem_7' "
        "ORDER BY accessed_at DESC"
    ),
    "ix_memory_access_log_tenant_id_user_id": names("memory_access_log", "user_id"),
    "ix_mirror_outbox_shard_seq": (
        "SELECT FROM memstore.mirror_outbox WHERE memstore.mirror_shard(tenant_id) = 1 ORDER BY seq LIMIT 9"
    ),
    "ix_mirror_ledger_collection_physical_id": (
        "SELECT DISTINCT ON (collection, physical) event FROM memstore.mirror_ledger "
        "ORDER BY collection, physical, id DESC"
    ),
}
# What a foreign key points to must be unique, whoever asks.
TARGETS = {"uq_users_tenant_id_id", "uq_embedding_models_name_dimensions"}

# 2,000 rows of one tenant in each table that is asked above, over some 100 agents, users and sessions, and a year.
MANY = "FROM generate_series(1, 2000) AS n"
WHO = f"SELECT CAST('{A}' AS uuid), lpad(to_hex(1 + n % 100), 32, '0')::uuid"
WHEN = "now() - n * interval '4 hours'"
ROWS = f"""
    INSERT INTO memstore.tenants (id, name, external_id) VALUES ('{A}', 'Acme', 'acme');
    INSERT INTO memstore.tenants (id, name, external_id) SELECT gen_random_uuid(), 'x', n {MANY};
    INSERT INTO memstore.users (tenant_id, id, auth_provider, external_id)
    SELECT '{A}', lpad(to_hex(n), 32, '0')::uuid, 'test', n {MANY};
    INSERT INTO memstore.agents (tenant_id, id, name) SELECT '{A}', lpad(to_hex(n), 32, '0')::uuid, n {MANY};
    INSERT INTO memstore.tools (tenant_id, id, name) SELECT '{A}', lpad(to_hex(n), 32, '0')::uuid, n {MANY};
    INSERT INTO memstore.agent_tools (tenant_id, tool_id, agent_id) {WHO}, lpad(to_hex(n), 32, '0')::uuid {MANY};
    INSERT INTO memstore.sessions (tenant_id, agent_id, user_id, id, expires_at)
    {WHO}, lpad(to_hex(1 + n % 90), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, {WHEN} + interval '300 days' {MANY};
    INSERT INTO memstore.memory_nodes
        (tenant_id, agent_id, user_id, session_id, id, key, content, conversation_id, tags, created_at, expires_at,
         embedding)
    {WHO}, lpad(to_hex(1 + n % 90), 32, '0')::uuid, lpad(to_hex(1 + n % 80), 32, '0')::uuid, 'mem_' || n, n,
    'word' || n, n % 70, jsonb_build_object('topics', jsonb_build_array(n::text)), {WHEN}, {WHEN} + interval '300 days',
    array_fill(n, '{{4}}')::vector {MANY};
    INSERT INTO memstore.episodic_memories (tenant_id, user_id, id, created_at) {WHO}, n, {WHEN} {MANY};
    INSERT INTO memstore.episode_nodes (tenant_id, episode_id, node_id, position)
    SELECT '{A}', 1 + n % 100, 'mem_' || n, n {MANY};
    INSERT INTO memstore.memory_relationships (tenant_id, source_id, target_id, relationship_type)
    SELECT '{A}', 'mem_' || n, 'mem_' || 1 + (n + 7) % 100, 'pattern' FROM generate_series(101, 2000) AS n;
    INSERT INTO memstore.documents (tenant_id, title, source_uri) SELECT '{A}', 'x', n {MANY};
    INSERT INTO memstore.embedding_models (name, dimensions) VALUES ('bench', 4);
    INSERT INTO memstore.embeddings (tenant_id, source_type, source_id, model, content, content_hash, embedding)
    SELECT '{A}', 'page', n, 'bench', 'word' || n, sha256('x'), '[1,2,3,4]' {MANY};
    INSERT INTO memstore.activities (tenant_id, agent_id, session_id, id, action, created_at)
    {WHO}, lpad(to_hex(1 + n % 90), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'x', {WHEN} {MANY};
    INSERT INTO memstore.metrics (tenant_id, agent_id, metric_name, metric_type, value, labels, timestamp)
    {WHO}, n % 100, 'gauge', 1, jsonb_build_object('tool', n::text), {WHEN} {MANY};
    INSERT INTO memstore.evaluations (tenant_id, agent_id, evaluator_type, created_at) {WHO}, 'x', {WHEN} {MANY};
    INSERT INTO memstore.feedback (tenant_id, agent_id, session_id, activity_id, feedback_type, created_at)
    {WHO}, lpad(to_hex(1 + n % 90), 32, '0')::uuid, lpad(to_hex(1 + n % 80), 32, '0')::uuid, 'x', {WHEN} {MANY};
    INSERT INTO memstore.memory_access_log (tenant_id, user_id, memory_id, access_type, accessed_at)
    {WHO}, 'mem_' || n % 100, 'read', {WHEN} {MANY};
    INSERT INTO memstore.mirror_outbox (tenant_id, node_id) SELECT gen_random_uuid(), n {MANY};
    INSERT INTO memstore.mirror_ledger (collection, physical, revision, checksum, event, package_version)
    SELECT 'memories', n % 100, 'x', 'x', 'building', '1' {MANY};
    ANALYZE
"""
SECONDARY = """
    SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE relnamespace = 'memstore'::regnamespace AND NOT indisprimary
"""
SAME_COLUMNS = """
    SELECT a.indexrelid::regclass::text, b.indexrelid::regclass::text FROM pg_index AS a JOIN pg_index AS b
    ON a.indrelid = b.indrelid AND a.indexrelid <> b.indexrelid AND b.indkey::text LIKE a.indkey::text || '%'
    WHERE a.indrelid::regclass::text LIKE 'memstore.%' AND NOT a.indisunique
      AND a.indpred IS NOT DISTINCT FROM b.indpred
"""


@pytest_asyncio.fixture
async def filled(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    async with engine.begin() as connection:
        for statement in ROWS.split(";\n"):
            await connection.exec_driver_sql(statement)
    yield engine


async def test_each_index_serves_a_query_of_ours(filled: AsyncEngine) -> None:
    unused = {}
    async with filled.connect() as connection:
        assert set(await connection.scalars(text(SECONDARY))) == SERVES.keys() | TARGETS
        await connection.execute(text("SET enable_seqscan = off"))
        for index, query in SERVES.items():
            plan = "\n".join(await connection.scalars(text(f"EXPLAIN {query}")))
            if f" {index} " not in plan:
                unused[index] = plan
    assert unused == {}


async def test_no_index_is_the_beginning_of_another(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert (await connection.execute(text(SAME_COLUMNS))).all() == []
