"""What a revision is tried with: rows before it, rows after it, and what it adds asked for with its answer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.migrations import downgrade, upgrade
from memstore.migrations.scripts import revisions

Rows = list[tuple[Any, ...]]

EMBEDDING_DIM = 4
LONG_AGO, LATER = "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
INES, AGENT, SESSION = (str(UUID(int=number)) for number in (1, 2, 3))


@dataclass(frozen=True)
class Table:
    columns: frozenset[str]
    rows: list[dict[str, Any]]

    def __post_init__(self) -> None:
        self.rows.sort(key=lambda row: json.dumps(row, sort_keys=True))


Contents = dict[str, Table]


@dataclass(frozen=True)
class Case:
    """One revision.

    before: statements on a database one revision below. No row that is there then may be lost or changed by going up,
        down and up again.
    after: statements that come after each way up, so that their rows are there on the way down, and after the next way
        up they are back. They must bear being run twice: `insert` leaves a row alone that is there already.
    adds: the names of the relations, and with () of the functions, that are there after it and not before.
    answers: queries, in one transaction that is rolled back, each with its rows. Some must fail without the revision.
    """

    revision: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    adds: tuple[str, ...]
    answers: tuple[tuple[str, Rows], ...]

    @property
    def below(self) -> str:
        place = revisions().index(self.revision)
        return revisions()[place - 1] if place else "base"


def insert(table: str, **columns: object) -> str:
    """Write the INSERT of one row, which belongs to Ines (see `run`) where it names no tenant."""
    values = ", ".join(_literal(value) for value in columns.values())
    return f"INSERT INTO memstore.{table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    plain = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return "'" + plain.replace("'", "''") + "'"


PEOPLE = (insert("users", id=INES, auth_provider="test", external_id="ines", email="ines@example.com"),)
AGENTS = (
    *PEOPLE,
    insert("agents", id=AGENT, name="Guide"),
    insert("sessions", id=SESSION, agent_id=AGENT, user_id=INES, expires_at=LATER),
)
MEMORIES = (
    *AGENTS,
    *(insert("memory_nodes", id=f"mem_{number}", content=f"memory {number}", user_id=INES) for number in (1, 2)),
)


async def walk(engine: AsyncEngine, case: Case) -> None:
    """Take an empty database up to a revision, down and up again, with rows in its tables."""
    if case.below != "base":
        await upgrade(engine, case.below, embedding_dim=EMBEDDING_DIM)
    nothing = await contents(engine)
    await run(engine, *case.before)
    objects, seeded = await catalog(engine), await contents(engine)
    assert seeded != nothing
    await check_absent(engine, case)

    await upgrade(engine, case.revision, embedding_dim=EMBEDDING_DIM)
    assert since(seeded, await contents(engine)) == seeded
    assert await catalog(engine) - objects == Counter(case.adds)
    await run(engine, *case.after)
    await check_answers(engine, case)
    complete = await contents(engine)

    await downgrade(engine, case.below)
    assert await contents(engine) == since(seeded, complete)
    assert await catalog(engine) == objects
    await check_absent(engine, case)

    await upgrade(engine, case.revision, embedding_dim=EMBEDDING_DIM)
    back = await contents(engine)
    if case.below == "base":  # what the first revision holds is about the schema itself, and goes with it
        back, complete = since(seeded, back), since(seeded, complete)
    assert back == complete
    await run(engine, *case.after)
    await check_answers(engine, case)


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await ask(connection, statement)


async def check_answers(engine: AsyncEngine, case: Case) -> None:
    async with engine.connect() as connection:
        for query, answer in case.answers:
            assert await ask(connection, query) == answer, query


async def check_absent(engine: AsyncEngine, case: Case) -> None:
    with pytest.raises((AssertionError, ProgrammingError)):
        await check_answers(engine, case)


async def ask(connection: AsyncConnection, query: str) -> Rows:
    await connection.execute(text("SELECT set_config('memstore.tenant_id', :tenant, true)"), {"tenant": INES})
    result = await connection.exec_driver_sql(query)
    return [tuple(row) for row in result] if result.returns_rows else []


CATALOG = text("""
    SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = to_regnamespace('memstore')
    UNION ALL SELECT proname || '()' FROM pg_proc WHERE pronamespace = to_regnamespace('memstore')
""")


async def catalog(engine: AsyncEngine) -> Counter[str]:
    """Name the relations and functions in memstore's schema; a function counts once for each of its signatures."""
    async with engine.connect() as connection:
        return Counter(await connection.scalars(CATALOG))


TABLES = text("""
    SELECT attrelid::regclass::text AS "table", array_agg(attname::text) AS columns
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('memstore', 'public') AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    AND relname NOT IN ('alembic_version', 'migration_ledger') GROUP BY attrelid
""")


async def contents(engine: AsyncEngine) -> Contents:
    """All rows of all tables, memstore's and the host's, except of those that a migration itself writes."""
    found = {}
    async with engine.connect() as connection:
        for table, columns in (await connection.execute(TABLES)).all():
            rows = await connection.scalars(text(f"SELECT to_jsonb(t) FROM {table} AS t"))
            found[table] = Table(frozenset(columns), list(rows))
    return found


def since(earlier: Contents, now: Contents) -> Contents:
    """Show of `now` the tables and columns that there were `earlier`; of a column that is gone, nothing."""
    return {
        name: Table(
            table.columns & now[name].columns,
            [{column: row[column] for column in row.keys() & table.columns} for row in now[name].rows],
        )
        for name, table in earlier.items()
    }


_HASH = "\\x" + "ab" * 32


def embedding(source: str, vector: str, content: str) -> str:
    """Return an INSERT of an embedding by the model m."""
    return insert(
        "embeddings",
        source_type="note",
        source_id=source,
        model="m",
        embedding=vector,
        content=content,
        content_hash=_HASH,
    )


def found(function: str, columns: str = "source_id") -> str:
    """Return a query of what a function of the schema finds."""
    return f"SELECT {columns} FROM memstore.{function}"
