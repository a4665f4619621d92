from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Float, Numeric, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.models import Base
from memstore.models.types import Vocabulary
from tests.models.constraints import (
    agents,
    audit,
    directory,
    documents,
    embeddings,
    episodes,
    memory,
    mirror,
    observability,
    statistics,
    tools,
)
from tests.models.constraints.common import Row
from tests.tenants import insert_row

# Each after those that its rows refer to.
FAMILIES = (directory, agents, tools, memory, episodes, documents, embeddings, observability, audit, statistics, mirror)

# What is in the database before each case: two tenants, so that a row can name what is there but not its own.
PARENTS: list[tuple[str, Row]] = [parent for family in FAMILIES for parent in family.PARENTS]

VALID: dict[str, Row] = {table: row for family in FAMILIES for table, row in family.VALID.items()}

# Table, constraint, and what makes the valid row break it.
REFUSED: list[tuple[str, str, Row]] = [case for family in FAMILIES for case in family.REFUSED]

# The last values inside each range, and the neighbours of a unique key.
ACCEPTED: dict[str, list[Row]] = {table: rows for family in FAMILIES for table, rows in family.ACCEPTED.items()}

# Constraints that would refuse the row before the one it is meant for, and are dropped for that case.
SHADOWED_BY: dict[str, list[str]] = {
    "uq_users_tenant_id_id": ["pk_users"],
    "uq_embedding_models_name_dimensions": ["pk_embedding_models"],
    "fk_sessions_tenant_id_tenants": ["fk_sessions_tenant_id_agent_id_agents"],
    "fk_agent_tools_tenant_id_tenants": [
        "fk_agent_tools_tenant_id_agent_id_agents",
        "fk_agent_tools_tenant_id_tool_id_tools",
    ],
    "fk_episode_nodes_tenant_id_tenants": [
        "fk_episode_nodes_tenant_id_episode_id_episodic_memories",
        "fk_episode_nodes_tenant_id_node_id_memory_nodes",
    ],
    "fk_memory_relationships_tenant_id_tenants": [
        "fk_memory_relationships_tenant_id_source_id_memory_nodes",
        "fk_memory_relationships_tenant_id_target_id_memory_nodes",
    ],
    "fk_document_chunks_tenant_id_tenants": ["fk_document_chunks_tenant_id_document_id_documents"],
}

VOCABULARIES = [
    (table.name, {column.name: str(word)})
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Vocabulary)
    for word in column.type.words
]

# An identity that takes no value can be repeated by no row.
WITHOUT_CASE = {
    (table, f"pk_{table}") for table in ("migration_ledger", "migration_repairs", "mirror_outbox", "mirror_ledger")
}

# Foreign keys that no index serves on the side that refers: to delete or rekey what is referred to reads the table.
UNSERVED = {
    # Models are for all tenants and stay: it is refused while one embedding is left, and an index on millions of
    # embeddings for the day when none is would cost each of them.
    "fk_embeddings_model_dimensions_embedding_models",
}

# What PostgreSQL 18 says of NOT NULL is no constraint of ours, and `alembic_version` is no table of ours.
ALL_CONSTRAINTS = """
    SELECT relname AS "table", conname AS name, contype::text AS kind FROM pg_constraint
    JOIN pg_class ON pg_class.oid = conrelid
    WHERE relnamespace = 'memstore'::regnamespace AND relname <> 'alembic_version' AND contype <> 'n'
    UNION ALL
    SELECT owner.relname, index.relname, CASE WHEN indisunique THEN 'u' ELSE 'i' END FROM pg_index
    JOIN pg_class AS owner ON owner.oid = indrelid JOIN pg_class AS index ON index.oid = indexrelid
    WHERE owner.relnamespace = 'memstore'::regnamespace AND owner.relname <> 'alembic_version'
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
"""

# For a delete, an index serves a foreign key if it leads with its columns, in any order, and holds each row that has
# them all: WHERE one of them IS NOT NULL leaves none of those out, any other condition does.
FOREIGN_KEYS = """
    SELECT conname AS name, EXISTS (
        SELECT FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
        WHERE indrelid = conrelid AND amname = 'btree' AND indisvalid
        AND (indkey::smallint[])[0:cardinality(conkey) - 1] @> conkey AND indnkeyatts >= cardinality(conkey)
        AND (indpred IS NULL OR pg_get_expr(indpred, indrelid) IN (
            SELECT format('(%I IS NOT NULL)', attname) FROM pg_attribute
            WHERE attrelid = conrelid AND attnum = ANY (conkey)
        ))
    ) AS served
    FROM pg_constraint WHERE connamespace = 'memstore'::regnamespace AND contype = 'f'
"""


async def insert_parents(connection: AsyncConnection) -> None:
    for table, row in PARENTS:
        await insert_row(connection, table, row)


async def refused_by(connection: AsyncConnection, table: str, row: Row, *, meant: str = "") -> str | None:
    """Insert the row, undo it, and return the name of the constraint that refused it."""
    savepoint = await connection.begin_nested()
    try:
        for shadow in SHADOWED_BY.get(meant, []):
            await connection.execute(text(f"ALTER TABLE memstore.{table} DROP CONSTRAINT {shadow}"))
        await insert_row(connection, table, row)
    except IntegrityError as error:
        cause: Any = error.orig.__cause__ if error.orig else None
        return str(cause.constraint_name)
    finally:
        await savepoint.rollback()
    return None


async def test_each_constraint_has_a_case_and_each_case_a_constraint(shared_engine: AsyncEngine) -> None:
    async with shared_engine.connect() as connection:
        found = await connection.execute(text(ALL_CONSTRAINTS))
        present = {(row.table, row.name) for row in found if row.kind != "i"}
    assert present == {(table, name) for table, name, _ in REFUSED} | WITHOUT_CASE


def test_each_table_has_a_valid_row() -> None:
    assert set(VALID) == set(ACCEPTED) == {table.name for table in Base.metadata.sorted_tables}


async def test_each_constraint_and_index_has_a_name_of_the_convention(shared_engine: AsyncEngine) -> None:
    kinds = {"c": "ck_{}_.+", "f": "fk_{}_.+", "u": "uq_{}_.+", "p": "pk_{}", "i": "ix_{}_.+"}
    async with shared_engine.connect() as connection:
        found = list(await connection.execute(text(ALL_CONSTRAINTS)))
    assert {row.kind for row in found} == set(kinds)
    assert [row.name for row in found if not re.fullmatch(kinds[row.kind].format(row.table), row.name)] == []


async def test_an_index_serves_each_foreign_key_when_what_it_refers_to_is_deleted(shared_engine: AsyncEngine) -> None:
    async with shared_engine.connect() as connection:
        found = list(await connection.execute(text(FOREIGN_KEYS)))
    assert {row.name for row in found if not row.served} == UNSERVED


@pytest.mark.parametrize("table", VALID)
async def test_rows_are_refused_by_the_constraint_they_break(shared_engine: AsyncEngine, table: str) -> None:
    cases = [(constraint, changes) for name, constraint, changes in REFUSED if name == table]
    async with shared_engine.connect() as connection:
        await insert_parents(connection)
        found = [
            (await refused_by(connection, table, VALID[table] | changes, meant=constraint), changes)
            for constraint, changes in cases
        ]
    assert found == cases


@pytest.mark.parametrize("table", VALID)
async def test_rows_just_inside_the_constraints_are_accepted(shared_engine: AsyncEngine, table: str) -> None:
    cases = [{}, *ACCEPTED[table], *(word for name, word in VOCABULARIES if name == table)]
    async with shared_engine.connect() as connection:
        await insert_parents(connection)
        found = [(await refused_by(connection, table, VALID[table] | changes), changes) for changes in cases]
    assert found == [(None, changes) for changes in cases]


async def test_json_columns_of_one_kind_take_no_other_and_no_null(shared_engine: AsyncEngine) -> None:
    columns = {
        (table, name, re.sub(f"^ck_{table}_|_is_(object|array)$", "", name))
        for table, name, _ in REFUSED
        if name.endswith(("_is_object", "_is_array"))
    }
    async with shared_engine.connect() as connection:
        await insert_parents(connection)
        for table, name, column in columns:
            for value in ("null", "true", "1", '"x"', "[]" if name.endswith("object") else "{}"):
                # jsonb_populate_record makes NULL of the JSON null, an update of all rows does not.
                update = text(f"UPDATE memstore.{table} SET {column} = CAST(:value AS jsonb)")
                with pytest.raises(IntegrityError, match=f'check constraint "{name}"'):
                    async with connection.begin_nested():
                        await connection.execute(update, {"value": value})


async def test_no_number_is_nan_or_without_end(shared_engine: AsyncEngine) -> None:
    columns = [
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Numeric | Float)
    ]
    async with shared_engine.connect() as connection:
        await insert_parents(connection)
        for table, column in columns:
            for value in ("NaN", "Infinity", "-Infinity"):
                # A numeric with a precision has no room for infinity.
                by = f'check constraint "ck_{table}_{column}_|numeric field overflow'
                with pytest.raises(DBAPIError, match=by):
                    async with connection.begin_nested():
                        await insert_row(connection, table, VALID[table] | {column: value})


async def test_pgvector_refuses_what_is_no_vector_of_the_width(shared_engine: AsyncEngine) -> None:
    nodes, episodic, anything = "memory_nodes", "episodic_memories", "embeddings"
    async with shared_engine.connect() as connection:
        await insert_parents(connection)
        for embedding, reason, tables in (
            ("[NaN, 1, 1, 1]", "NaN not allowed in vector", (nodes, episodic, anything)),
            ("[Infinity, 1, 1, 1]", "infinite value not allowed in vector", (nodes, episodic, anything)),
            ("[1e39, 1, 1, 1]", "out of range for type vector", (nodes, episodic, anything)),
            ("[]", "vector must have at least 1 dimension", (nodes, episodic, anything)),
            ("[1, 1, 1]", "expected 4 dimensions, not 3", (nodes, episodic)),
            ("[1, 1, 1, 1, 1]", "expected 4 dimensions, not 5", (nodes, episodic)),
            (str([1] * 16_001), "vector cannot have more than 16000 dimensions", (anything,)),
        ):
            for table in tables:
                with pytest.raises(DBAPIError, match=reason):
                    async with connection.begin_nested():
                        await insert_row(connection, table, VALID[table] | {"embedding": embedding})


async def test_a_fact_of_the_whole_tenant_is_kept_once_until_it_is_soft_deleted(shared_engine: AsyncEngine) -> None:
    fact = VALID["memory_nodes"] | {"key": "capital"}
    again = fact | {"id": "again"}
    unique = "uq_memory_nodes_tenant_id_agent_id_user_id_key"
    async with shared_engine.connect() as connection:
        await insert_parents(connection)
        await insert_row(connection, "memory_nodes", fact)
        assert await refused_by(connection, "memory_nodes", again) == unique
        await connection.execute(text("UPDATE memstore.memory_nodes SET deleted_at = now() WHERE id = 'new'"))
        await insert_row(connection, "memory_nodes", again)
        with pytest.raises(IntegrityError, match=unique):
            await connection.execute(text("UPDATE memstore.memory_nodes SET deleted_at = NULL WHERE id = 'new'"))
