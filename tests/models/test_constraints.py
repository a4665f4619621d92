from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.models import Base
from memstore.models.types import Vocabulary

Row = dict[str, Any]

TENANT, OTHER_TENANT, USER, OTHER_USER, AGENT, OTHER_AGENT, SESSION, OTHER_SESSION = (
    str(UUID(int=number)) for number in range(1, 9)
)
NEW, NOBODY = str(UUID(int=100)), str(UUID(int=101))
LATER = "2100-01-01T00:00:00Z"

# What is in the database before each case: two tenants, so that a row can name what is there but not its own.
PARENTS: list[tuple[str, Row]] = [
    ("tenants", {"id": TENANT, "name": "Acme", "external_id": "acme"}),
    ("tenants", {"id": OTHER_TENANT, "name": "Initech"}),
    ("users", {"tenant_id": TENANT, "id": USER, "auth_provider": "test", "external_id": "ann"}),
    ("users", {"tenant_id": OTHER_TENANT, "id": OTHER_USER, "auth_provider": "test", "external_id": "bob"}),
    ("agents", {"tenant_id": TENANT, "id": AGENT, "name": "Guide"}),
    ("agents", {"tenant_id": OTHER_TENANT, "id": OTHER_AGENT, "name": "Guide"}),
    ("sessions", {"tenant_id": TENANT, "id": SESSION, "agent_id": AGENT, "expires_at": LATER}),
    ("sessions", {"tenant_id": OTHER_TENANT, "id": OTHER_SESSION, "agent_id": OTHER_AGENT, "expires_at": LATER}),
    (
        "memory_nodes",
        {"tenant_id": TENANT, "id": "fact", "agent_id": AGENT, "user_id": USER, "key": "city", "content": "Rome"},
    ),
]

VALID: dict[str, Row] = {
    "settings": {"key": "colour", "value": "green"},
    "migration_ledger": {"revision": "0001", "direction": "upgrade", "package_version": "1", "duration_ms": 0},
    "tenants": {"id": NEW, "name": "Hooli"},
    "users": {"tenant_id": TENANT, "id": NEW, "auth_provider": "test", "external_id": "eve"},
    "agents": {"tenant_id": TENANT, "id": NEW, "name": "Critic"},
    "sessions": {"tenant_id": TENANT, "id": NEW, "agent_id": AGENT, "expires_at": LATER},
    "memory_nodes": {"tenant_id": TENANT, "id": "new", "content": "Ann likes tea"},
}

# Table, constraint, and what makes the valid row break it.
REFUSED: list[tuple[str, str, Row]] = [
    ("migration_ledger", "ck_migration_ledger_direction", {"direction": "sideways"}),
    ("migration_ledger", "ck_migration_ledger_duration_ms_not_negative", {"duration_ms": -1}),
    ("tenants", "ck_tenants_config_is_object", {"config": []}),
    ("tenants", "ck_tenants_kind", {"kind": "club"}),
    ("tenants", "ck_tenants_name_not_empty", {"name": ""}),
    ("tenants", "uq_tenants_external_id", {"external_id": "acme"}),
    ("users", "ck_users_auth_provider_not_empty", {"auth_provider": ""}),
    ("users", "ck_users_external_id_not_empty", {"external_id": ""}),
    ("users", "fk_users_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("users", "uq_users_auth_provider_external_id", {"external_id": "ann"}),
    ("users", "uq_users_auth_provider_external_id", {"external_id": "bob"}),
    ("users", "uq_users_tenant_id_id", {"id": USER}),
    ("agents", "ck_agents_capabilities_is_array", {"capabilities": {}}),
    ("agents", "ck_agents_max_tokens_not_negative", {"max_tokens": -1}),
    ("agents", "ck_agents_metadata_is_object", {"metadata": []}),
    ("agents", "ck_agents_name_not_empty", {"name": ""}),
    ("agents", "ck_agents_status", {"status": "asleep"}),
    ("agents", "ck_agents_temperature_range", {"temperature": -0.01}),
    ("agents", "ck_agents_temperature_range", {"temperature": 2.01}),
    ("agents", "ck_agents_temperature_range", {"temperature": "NaN"}),
    ("agents", "fk_agents_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("sessions", "ck_sessions_history_is_array", {"history": {}}),
    ("sessions", "ck_sessions_metadata_is_object", {"metadata": []}),
    ("sessions", "ck_sessions_status", {"status": "asleep"}),
    ("sessions", "ck_sessions_workspace_is_object", {"workspace": []}),
    ("sessions", "fk_sessions_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("sessions", "fk_sessions_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("sessions", "fk_sessions_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("sessions", "fk_sessions_tenant_id_user_id_users", {"user_id": NOBODY}),
    ("sessions", "fk_sessions_tenant_id_user_id_users", {"user_id": OTHER_USER}),
    ("memory_nodes", "ck_memory_nodes_access_count_not_negative", {"access_count": -1}),
    ("memory_nodes", "ck_memory_nodes_cluster_confidence_range", {"cluster_confidence": -0.01}),
    ("memory_nodes", "ck_memory_nodes_cluster_confidence_range", {"cluster_confidence": 1.01}),
    ("memory_nodes", "ck_memory_nodes_cluster_confidence_range", {"cluster_confidence": "NaN"}),
    ("memory_nodes", "ck_memory_nodes_cluster_id_range", {"cluster_id": -2}),
    ("memory_nodes", "ck_memory_nodes_complexity", {"complexity": "odd"}),
    ("memory_nodes", "ck_memory_nodes_conversation_mode", {"conversation_mode": "odd"}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": -0.01}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": 100.01}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": "NaN"}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": "Infinity"}),
    ("memory_nodes", "ck_memory_nodes_decay_tier", {"decay_tier": "odd"}),
    ("memory_nodes", "ck_memory_nodes_embedding_has_cosine", {"embedding": "[0, 0, 0, 0]"}),
    ("memory_nodes", "ck_memory_nodes_embedding_has_cosine", {"embedding": "[1e-30, 1e-30, 0, 0]"}),
    ("memory_nodes", "ck_memory_nodes_embedding_has_cosine", {"embedding": "[3e38, 3e38, 0, 0]"}),
    ("memory_nodes", "ck_memory_nodes_emotional_valence", {"emotional_valence": "odd"}),
    ("memory_nodes", "ck_memory_nodes_has_text", {"content": None}),
    ("memory_nodes", "ck_memory_nodes_has_text", {"content": None, "assistant_content": "an answer to nothing"}),
    ("memory_nodes", "ck_memory_nodes_id_not_empty", {"id": ""}),
    ("memory_nodes", "ck_memory_nodes_importance_decay_range", {"importance_decay": -0.01}),
    ("memory_nodes", "ck_memory_nodes_importance_decay_range", {"importance_decay": 1.01}),
    ("memory_nodes", "ck_memory_nodes_importance_decay_range", {"importance_decay": "NaN"}),
    ("memory_nodes", "ck_memory_nodes_importance_range", {"importance": 0}),
    ("memory_nodes", "ck_memory_nodes_importance_range", {"importance": 11}),
    ("memory_nodes", "ck_memory_nodes_intent_type", {"intent_type": "odd"}),
    ("memory_nodes", "ck_memory_nodes_memory_type", {"memory_type": "odd"}),
    ("memory_nodes", "ck_memory_nodes_metadata_is_object", {"metadata": []}),
    ("memory_nodes", "ck_memory_nodes_neuro_type", {"neuro_type": "odd"}),
    ("memory_nodes", "ck_memory_nodes_sequence_index_not_negative", {"sequence_index": -1}),
    ("memory_nodes", "ck_memory_nodes_tags_is_object", {"tags": []}),
    ("memory_nodes", "ck_memory_nodes_technical_depth_range", {"technical_depth": -1}),
    ("memory_nodes", "ck_memory_nodes_technical_depth_range", {"technical_depth": 11}),
    ("memory_nodes", "ck_memory_nodes_urgency", {"urgency": "odd"}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_session_id_sessions", {"session_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_session_id_sessions", {"session_id": OTHER_SESSION}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_user_id_users", {"user_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_user_id_users", {"user_id": OTHER_USER}),
    (
        "memory_nodes",
        "uq_memory_nodes_tenant_id_agent_id_user_id_key",
        {"agent_id": AGENT, "user_id": USER, "key": "city"},
    ),
]

# Constraints that would refuse the row before the one it is meant for, and are dropped for that case.
SHADOWED_BY = {
    "uq_users_tenant_id_id": "pk_users",
    "fk_sessions_tenant_id_tenants": "fk_sessions_tenant_id_agent_id_agents",
}

# The last values inside each range, and the neighbours of a unique key.
ACCEPTED: dict[str, list[Row]] = {
    "settings": [{"value": 0}, {"value": []}],
    "migration_ledger": [{"duration_ms": 2147483647}],
    "tenants": [{"external_id": None}, {"external_id": "Acme"}],
    "users": [{"auth_provider": "other", "external_id": "ann"}],
    "agents": [{"temperature": 0}, {"temperature": 2}, {"max_tokens": 0}, {"name": "Guide"}],
    "sessions": [{"user_id": USER}, {"user_id": None}],
    "memory_nodes": [
        {"access_count": 0},
        {"cluster_confidence": 0},
        {"cluster_confidence": 1},
        {"cluster_id": -1},
        {"decay_lambda": 0},
        {"decay_lambda": 100},
        {"embedding": "[0, 0, 0, 1e-18]"},
        {"embedding": "[-1e18, 0, 0, 0]"},
        {"content": None, "human_content": "a question"},
        {"importance": 1},
        {"importance": 10},
        {"importance_decay": 0},
        {"importance_decay": 1},
        {"sequence_index": 0},
        {"technical_depth": 0},
        {"technical_depth": 10},
        {"agent_id": AGENT, "user_id": USER, "session_id": SESSION, "key": "street"},
        {"agent_id": AGENT, "user_id": None, "key": "city"},
        {"agent_id": None, "user_id": USER, "key": "city"},
        {"agent_id": AGENT, "user_id": USER, "key": None},
        {"agent_id": AGENT, "user_id": USER, "key": "city", "deleted_at": LATER},
        {"tenant_id": OTHER_TENANT, "agent_id": OTHER_AGENT, "user_id": OTHER_USER, "key": "city"},
    ],
}

VOCABULARIES = [
    (table.name, {column.name: str(word)})
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Vocabulary)
    for word in column.type.words
]

ALL_CONSTRAINTS = """
    SELECT relname, conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE relnamespace = 'memstore'::regnamespace AND contype NOT IN ('p', 'n')
    UNION
    SELECT owner.relname, unique_index.relname FROM pg_index
    JOIN pg_class AS owner ON owner.oid = indrelid JOIN pg_class AS unique_index ON unique_index.oid = indexrelid
    WHERE owner.relnamespace = 'memstore'::regnamespace AND indisunique AND NOT indisprimary
"""


async def insert(connection: AsyncConnection, table: str, row: Row) -> None:
    columns = ", ".join(row)
    record = f"jsonb_populate_record(NULL::memstore.{table}, CAST(:row AS jsonb))"
    statement = text(f"INSERT INTO memstore.{table} ({columns}) SELECT {columns} FROM {record}")
    await connection.execute(statement, {"row": json.dumps(row)})


async def insert_parents(connection: AsyncConnection) -> None:
    for table, row in PARENTS:
        await insert(connection, table, row)


async def refused_by(connection: AsyncConnection, table: str, row: Row, *, meant: str | None = None) -> str | None:
    """Insert the row, undo it, and return the name of the constraint that refused it."""
    savepoint = await connection.begin_nested()
    try:
        if meant in SHADOWED_BY:
            await connection.execute(text(f"ALTER TABLE memstore.{table} DROP CONSTRAINT {SHADOWED_BY[meant]}"))
        await insert(connection, table, row)
    except IntegrityError as error:
        cause: Any = error.orig.__cause__ if error.orig else None
        return str(cause.constraint_name)
    finally:
        await savepoint.rollback()
    return None


async def test_each_constraint_has_a_case_and_each_case_a_constraint(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        present = {tuple(row) for row in await connection.execute(text(ALL_CONSTRAINTS))}
    assert present == {(table, name) for table, name, _ in REFUSED}


def test_each_table_has_a_valid_row() -> None:
    assert set(VALID) == set(ACCEPTED) == {table.name for table in Base.metadata.sorted_tables}


@pytest.mark.parametrize("table", VALID)
async def test_rows_are_refused_by_the_constraint_they_break(engine: AsyncEngine, table: str) -> None:
    cases = [(constraint, changes) for name, constraint, changes in REFUSED if name == table]
    async with engine.connect() as connection:
        await insert_parents(connection)
        found = [
            (await refused_by(connection, table, VALID[table] | changes, meant=constraint), changes)
            for constraint, changes in cases
        ]
    assert found == cases


@pytest.mark.parametrize("table", VALID)
async def test_rows_just_inside_the_constraints_are_accepted(engine: AsyncEngine, table: str) -> None:
    cases = [{}, *ACCEPTED[table], *(word for name, word in VOCABULARIES if name == table)]
    async with engine.connect() as connection:
        await insert_parents(connection)
        found = [(await refused_by(connection, table, VALID[table] | changes), changes) for changes in cases]
    assert found == [(None, changes) for changes in cases]


async def test_pgvector_refuses_what_is_no_vector_of_the_installed_width(engine: AsyncEngine) -> None:
    for embedding, reason in (
        ("[NaN, 1, 1, 1]", "NaN not allowed in vector"),
        ("[Infinity, 1, 1, 1]", "infinite value not allowed in vector"),
        ("[1e39, 1, 1, 1]", "out of range for type vector"),
        ("[1, 1, 1]", "expected 4 dimensions, not 3"),
        ("[1, 1, 1, 1, 1]", "expected 4 dimensions, not 5"),
    ):
        async with engine.connect() as connection:
            await insert_parents(connection)
            with pytest.raises(DBAPIError, match=reason):
                await insert(connection, "memory_nodes", VALID["memory_nodes"] | {"embedding": embedding})


async def test_a_fact_of_the_whole_tenant_is_kept_once_until_it_is_soft_deleted(engine: AsyncEngine) -> None:
    fact = VALID["memory_nodes"] | {"key": "capital"}
    again = fact | {"id": "again"}
    unique = "uq_memory_nodes_tenant_id_agent_id_user_id_key"
    async with engine.connect() as connection:
        await insert_parents(connection)
        await insert(connection, "memory_nodes", fact)
        assert await refused_by(connection, "memory_nodes", again) == unique
        await connection.execute(text("UPDATE memstore.memory_nodes SET deleted_at = now() WHERE id = 'new'"))
        await insert(connection, "memory_nodes", again)
        with pytest.raises(IntegrityError, match=unique):
            await connection.execute(text("UPDATE memstore.memory_nodes SET deleted_at = NULL WHERE id = 'new'"))
