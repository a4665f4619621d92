from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.store.search_sql.memories import OTHER, TENANT, Memory, add_tenant, insert, random_memories, run

ANN, BOB = (str(UUID(int=number)) for number in (11, 12))
REFRESH = text(f"SELECT memstore.refresh_search_statistics('{TENANT}')")


async def statistics(engine: AsyncEngine) -> tuple[int, int, dict[str, int], list[str]]:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT memories, embedded, users, sample FROM memstore.search_statistics WHERE tenant_id = :tenant"),
            {"tenant": TENANT},
        )
        memories, embedded, users, sample = found.one()
        return memories, embedded, users, sample


async def words(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT lexeme, documents FROM memstore.word_statistics"))
        return {row.lexeme: row.documents for row in found}


async def test_few_memories_are_counted_and_their_words_are_not(engine: AsyncEngine) -> None:
    gone = {"deleted_at": "2026-01-01T00:00:00Z"}
    made = random_memories(30, 4)
    await insert(engine, [*made, Memory("gone", ("tea",), None, gone)])
    await insert(engine, random_memories(3, 4), OTHER)
    await run(engine, str(REFRESH))
    assert await statistics(engine) == (30, 27, {}, [])
    assert await words(engine) == {}


async def test_many_memories_are_sampled_and_their_common_words_counted(engine: AsyncEngine) -> None:
    await add_tenant(engine)
    await run(
        engine,
        "INSERT INTO memstore.users (tenant_id, id, auth_provider, external_id) "
        f"SELECT '{TENANT}', id::uuid, 'test', id FROM unnest(ARRAY['{ANN}', '{BOB}']) AS id",
    )
    made = [
        Memory(
            each.id,
            (*each.words, *(["walnut"] if number < 5 else []), *(["birch"] if number < 6 else [])),
            each.embedding,
            {"user_id": ANN if number < 2001 else BOB},
        )
        for number, each in enumerate(random_memories(2600, 4))
    ]
    await insert(engine, made)
    await run(engine, str(REFRESH))
    memories, embedded, users, sample = await statistics(engine)
    assert (memories, embedded, users) == (2600, 2340, {ANN: 2001})
    assert len(set(sample)) == 256
    assert set(sample) <= {each.id for each in made}
    held = Counter(word for each in made for word in each.words)
    assert await words(engine) == {word: count for word, count in held.items() if count > 5.2}  # 0.2 %
    assert "walnut" in held
    assert "birch" in await words(engine)

    # What is gone is not in the statistics either, and the same memories have the same statistics.
    await run(engine, "DELETE FROM memstore.memory_nodes WHERE search_vector @@ 'birch'", str(REFRESH))
    assert "birch" not in await words(engine)
    before = (await statistics(engine), await words(engine))
    await run(engine, str(REFRESH))
    assert (await statistics(engine), await words(engine)) == before
    await run(engine, f"DELETE FROM memstore.memory_nodes WHERE user_id = '{ANN}'", str(REFRESH))
    assert (await statistics(engine))[2:] == ({}, [])
    assert await words(engine) == {}


async def test_of_two_at_once_one_gives_way(engine: AsyncEngine) -> None:
    await insert(engine, random_memories(5, 4))
    async with engine.connect() as first, engine.connect() as second:
        assert await first.scalar(REFRESH) is True
        assert await asyncio.wait_for(second.scalar(REFRESH), 10) is False
        await first.commit()
        assert await second.scalar(REFRESH) is True


async def test_there_are_none_of_a_tenant_that_is_not_there(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        for tenant in (f"'{TENANT}'", "NULL"):
            assert await connection.scalar(text(f"SELECT memstore.refresh_search_statistics({tenant})")) is False
