"""What the triggers of the mirror write down, and who may see it."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import delete, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore.models import MIRROR_TRIGGERS, MemoryNode, MirrorOutboxEntry
from memstore.scope import tenant_session
from tests.support import raw_dsn
from tests.tenants import ACME, INITECH, NO_RIGHT, as_application, attempt, insert_row, rows_of

TURN = ", ".join(f"{{0}} TRIGGER {name}" for name in MIRROR_TRIGGERS)
ENQUEUED = "SELECT tenant_id, node_id FROM memstore.mirror_outbox ORDER BY seq"
USER = rows_of(ACME)["users"][0]["id"]
FIRST, SECOND = (row["id"] for row in rows_of(ACME)["memory_nodes"])
MINE = {(ACME, FIRST), (ACME, SECOND)}
THEIRS = {(INITECH, row["id"]) for row in rows_of(INITECH)["memory_nodes"]}
NEW = "INSERT INTO memstore.memory_nodes (tenant_id, id, content) VALUES"
UPSERT = f"{NEW} ('{ACME}', 'one', 'x'), ('{ACME}', '{FIRST}', 'x') ON CONFLICT (tenant_id, id)"

# What the owner does to the memories of Acme and Initech, and what is then in the outbox, once each.
STATEMENTS: dict[str, set[tuple[UUID, str]]] = {
    f"{NEW} ('{ACME}', 'one', 'x')": {(ACME, "one")},
    f"{NEW} ('{ACME}', 'one', 'x'), ('{INITECH}', 'one', 'x')": {(ACME, "one"), (INITECH, "one")},
    f"{UPSERT} DO NOTHING": {(ACME, "one")},
    f"{UPSERT} DO UPDATE SET content = 'y'": {(ACME, "one"), (ACME, FIRST)},
    f"MERGE INTO memstore.memory_nodes AS m USING (VALUES ('{FIRST}'), ('{SECOND}'), ('one')) AS v (id) "
    f"ON m.tenant_id = '{ACME}' AND m.id = v.id WHEN MATCHED AND v.id = '{FIRST}' THEN DELETE "
    f"WHEN MATCHED THEN UPDATE SET content = 'y' WHEN NOT MATCHED THEN INSERT (tenant_id, id, content) "
    f"VALUES ('{ACME}', v.id, 'x')": MINE | {(ACME, "one")},
    f"UPDATE memstore.memory_nodes SET importance = 9 WHERE id = '{FIRST}'": {(ACME, FIRST)},
    "UPDATE memstore.memory_nodes SET importance = 9": MINE | THEIRS,
    "UPDATE memstore.memory_nodes SET access_count = access_count + 1, last_accessed = now() "
    f"WHERE tenant_id = '{ACME}'": MINE,
    f"UPDATE memstore.memory_nodes SET deleted_at = now() WHERE id = '{FIRST}'": {(ACME, FIRST)},
    "UPDATE memstore.memory_nodes SET importance = 9 WHERE id = 'nobody'": set(),
    f"DELETE FROM memstore.memory_nodes WHERE id = '{FIRST}'": {(ACME, FIRST)},
    "TRUNCATE memstore.memory_nodes CASCADE": MINE | THEIRS,
    "TRUNCATE memstore.tenants CASCADE": MINE | THEIRS,
}
# What reaches Acme's memories by foreign keys, in several steps.
CASCADES = (
    f"DELETE FROM memstore.agents WHERE tenant_id = '{ACME}'",
    f"DELETE FROM memstore.users WHERE id = '{USER}'",
    f"DELETE FROM memstore.tenants WHERE id = '{ACME}'",
)


async def turn(engine: AsyncEngine, word: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE memstore.memory_nodes {TURN.format(word)}"))


@pytest_asyncio.fixture
async def mirrored(seeded: AsyncEngine) -> AsyncEngine:
    """The owner's engine: the triggers are on, and nothing has happened since."""
    await turn(seeded, "ENABLE")
    return seeded


async def enqueued(engine: AsyncEngine) -> list[tuple[UUID, str]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(ENQUEUED))]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_each_memory_that_a_statement_writes_is_enqueued_once(mirrored: AsyncEngine, statement: str) -> None:
    async with mirrored.begin() as connection:
        await connection.execute(text(statement))
    found = await enqueued(mirrored)
    assert (set(found), len(found)) == (STATEMENTS[statement], len(STATEMENTS[statement]))


@pytest.mark.parametrize("statement", CASCADES)
async def test_each_memory_that_a_cascade_reaches_is_enqueued(mirrored: AsyncEngine, statement: str) -> None:
    async with mirrored.begin() as connection:
        await connection.execute(text(statement))
    assert set(await enqueued(mirrored)) == MINE


async def test_a_memory_that_gets_another_key_is_enqueued_under_both(mirrored: AsyncEngine) -> None:
    lone = MemoryNode(tenant_id=ACME, id="lone", content="x")
    async with AsyncSession(mirrored) as session:
        session.add(lone)
        await session.commit()
        await session.execute(text("UPDATE memstore.memory_nodes SET id = 'renamed' WHERE id = 'lone'"))
        await session.execute(text(f"UPDATE memstore.memory_nodes SET tenant_id = '{INITECH}' WHERE id = 'renamed'"))
        await session.commit()
    found = await enqueued(mirrored)
    assert found[0] == (ACME, "lone")
    assert set(found[1:3]) == {(ACME, "lone"), (ACME, "renamed")}
    assert set(found[3:]) == {(ACME, "renamed"), (INITECH, "renamed")}
    assert len(found) == 5


async def test_a_copy_is_enqueued_in_its_order(mirrored: AsyncEngine, url: URL) -> None:
    names = [f"mem_{number}" for number in range(3_000)]
    connection = await asyncpg.connect(raw_dsn(url))
    await connection.copy_records_to_table(
        "memory_nodes",
        schema_name="memstore",
        columns=["tenant_id", "id", "content"],
        records=[(ACME, name, "x") for name in names],
    )
    await connection.close()
    assert await enqueued(mirrored) == [(ACME, name) for name in names]


async def test_what_is_rolled_back_is_not_enqueued(mirrored: AsyncEngine) -> None:
    async with mirrored.connect() as connection:
        await connection.execute(text(f"{NEW} ('{ACME}', 'one', 'x')"))
        assert await connection.scalar(select(func.count()).select_from(MirrorOutboxEntry)) == 1
        async with connection.begin_nested() as savepoint:
            await connection.execute(text("DELETE FROM memstore.memory_nodes"))
            await savepoint.rollback()
        assert await connection.scalar(select(func.count()).select_from(MirrorOutboxEntry)) == 1
        await connection.rollback()
    assert await enqueued(mirrored) == []


async def test_triggers_that_are_off_enqueue_nothing(mirrored: AsyncEngine) -> None:
    await turn(mirrored, "DISABLE")
    async with mirrored.begin() as connection:
        for statement in (
            f"{NEW} ('{ACME}', 'one', 'x')",
            "UPDATE memstore.memory_nodes SET importance = 9",
            f"DELETE FROM memstore.memory_nodes WHERE id = '{FIRST}'",
            "TRUNCATE memstore.memory_nodes CASCADE",
        ):
            await connection.execute(text(statement))
    assert await enqueued(mirrored) == []


async def test_they_are_made_turned_off(seeded: AsyncEngine) -> None:
    assert await enqueued(seeded) == []


async def test_what_an_application_writes_is_enqueued(mirrored: AsyncEngine) -> None:
    async with as_application(mirrored) as application:
        async with tenant_session(application, ACME) as session:
            memory = MemoryNode(id="one", content="x")
            session.add(memory)
            await session.flush()
            memory.content = "y"
            await session.flush()
            await session.delete(memory)
        assert await attempt(application, str(ACME), "DELETE FROM memstore.memory_nodes") == len(MINE)
        assert await attempt(application, str(ACME), f"DELETE FROM memstore.users WHERE id = '{USER}'") == 1
    found = await enqueued(mirrored)
    assert found[:3] == [(ACME, "one")] * 3
    assert set(found[3:]) == MINE


async def test_an_application_writes_nothing_of_the_mirrors(mirrored: AsyncEngine) -> None:
    statements = [
        "SELECT FROM memstore.mirror_ledger",
        *(f"DELETE FROM memstore.{table}" for table in ("mirror_outbox", "mirror_rejections", "mirror_ledger")),
        f"INSERT INTO memstore.mirror_outbox (tenant_id, node_id) VALUES ('{ACME}', 'x')",
        f"INSERT INTO memstore.mirror_rejections (tenant_id, node_id, reason) VALUES ('{ACME}', 'x', 'x')",
        "INSERT INTO memstore.mirror_ledger (collection, physical, revision, checksum, event, package_version) "
        "VALUES ('x', 'x', 'x', 'x', 'active', 'x')",
        "SELECT nextval('memstore.mirror_outbox_seq_seq')",
        "ALTER TABLE memstore.memory_nodes DISABLE TRIGGER mirror_insert",
    ]
    async with as_application(mirrored) as application:
        found = {statement: await attempt(application, str(ACME), statement) for statement in statements}
    assert found == dict.fromkeys(statements, NO_RIGHT)


async def test_an_application_sees_which_of_its_own_are_still_to_be_mirrored(mirrored: AsyncEngine) -> None:
    async with mirrored.begin() as connection:
        await connection.execute(text("UPDATE memstore.memory_nodes SET importance = 7"))
    everything = {tenant for tenant, _ in await enqueued(mirrored)}
    assert len(everything) == 2
    async with as_application(mirrored) as application, tenant_session(application, ACME) as session:
        assert set((await session.execute(text("SELECT tenant_id FROM memstore.mirror_outbox"))).scalars()) == {ACME}


async def test_an_application_cannot_put_the_trigger_on_a_table_of_its_own(mirrored: AsyncEngine) -> None:
    async with as_application(mirrored) as application, application.begin() as connection:
        await connection.execute(text("CREATE TEMPORARY TABLE loot (tenant_id uuid, id text)"))
        trigger = "CREATE TRIGGER loot AFTER INSERT ON loot REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
        with pytest.raises(ProgrammingError, match="permission denied for function memstore.enqueue_for_mirror"):
            await connection.execute(text(f"{trigger} EXECUTE FUNCTION memstore.enqueue_for_mirror()"))


async def test_a_table_of_the_applications_own_does_not_stand_in_for_the_outbox(mirrored: AsyncEngine) -> None:
    async with as_application(mirrored) as application, application.begin() as connection:
        for statement in (
            "CREATE TEMPORARY TABLE mirror_outbox (seq bigint, tenant_id uuid, node_id text)",
            "CREATE TEMPORARY TABLE new_rows (tenant_id uuid, id text)",
            f"INSERT INTO new_rows VALUES ('{INITECH}', 'forged')",
            f"SET LOCAL memstore.tenant_id = '{ACME}'",
            "SET LOCAL search_path = pg_temp, memstore",
            f"{NEW} ('{ACME}', 'one', 'x')",
        ):
            await connection.execute(text(statement))
        assert await connection.scalar(text("SELECT count(*) FROM mirror_outbox")) == 0
    assert await enqueued(mirrored) == [(ACME, "one")]


async def test_a_relay_reads_a_shard_and_deletes_what_it_has_done(mirrored: AsyncEngine) -> None:
    tenants = [UUID(int=number) for number in (17, 33, 18)]
    async with mirrored.begin() as connection:
        for tenant in tenants:
            await insert_row(connection, "tenants", {"id": str(tenant), "name": "x"})
            await insert_row(connection, "memory_nodes", {"tenant_id": str(tenant), "id": "one", "content": "x"})
    of_shard_one = func.memstore.mirror_shard(MirrorOutboxEntry.tenant_id) == 1
    async with AsyncSession(mirrored) as session:
        due = select(MirrorOutboxEntry).where(of_shard_one).order_by(MirrorOutboxEntry.seq).limit(10)
        entries = list(await session.scalars(due))
        assert [entry.tenant_id for entry in entries] == tenants[:2]
        done = MirrorOutboxEntry.seq.in_([entry.seq for entry in entries])
        await session.execute(delete(MirrorOutboxEntry).where(done))
        await session.commit()
    assert await enqueued(mirrored) == [(tenants[2], "one")]
