from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import connecting
from memstore.migrations import grant
from memstore.store import NewTenant, NewUser, create_tenant, create_user
from memstore.transfer import ImportResult, Progress, import_corpus
from tests.transfer.corpora import make_nodes, make_vectors, stored, write_corpus

Counts = tuple[int, int, int, int]


def counts(result: ImportResult) -> Counts:
    return (result.read, result.inserted, result.already_there, result.renamed)


async def colleagues(engine: AsyncEngine) -> tuple[UUID, UUID, UUID]:
    """Create two users of one tenant; return their ids and the tenant's."""
    first, tenant_id = await create_user(engine, NewUser("ines@example.com", tenant="Acme"))
    second, same_tenant_id = await create_user(engine, NewUser("omar@example.com", tenant="Acme"))
    assert tenant_id == same_tenant_id
    return first, second, tenant_id


async def rows_of(engine: AsyncEngine, user_id: UUID | None) -> list[dict[str, Any]]:
    rows = (await stored(engine)).values()
    return sorted((row for row in rows if row["user_id"] == user_id), key=lambda row: str(row["human_content"]))


async def test_again_inserts_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)) == (5, 5, 0, 0)
    before = await stored(engine)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)) == (5, 0, 5, 0)
    assert await stored(engine) == before


async def test_what_was_changed_since_stays(engine: AsyncEngine, tmp_path: Path) -> None:
    nodes = make_nodes()
    write_corpus(tmp_path, nodes)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE memstore.memory_nodes SET access_count = 99, deleted_at = now()"))
    before = await stored(engine)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)) == (5, 0, 5, 0)
    assert await stored(engine) == before


async def test_a_dry_run_counts_the_same_and_changes_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    first, second, tenant_id = await colleagues(engine)
    write_corpus(tmp_path / "some", make_nodes(3))
    write_corpus(tmp_path / "all", make_nodes(5))
    await import_corpus(engine, tmp_path / "some", tenant_id=tenant_id, user_id=first)
    for user_id, expected in ((first, (5, 2, 3, 0)), (second, (5, 5, 0, 5)), (None, (5, 5, 0, 5))):
        before = await stored(engine)
        dry = await import_corpus(engine, tmp_path / "all", tenant_id=tenant_id, user_id=user_id, dry_run=True)
        assert await stored(engine) == before
        real = await import_corpus(engine, tmp_path / "all", tenant_id=tenant_id, user_id=user_id)
        assert len(await stored(engine)) == len(before) + real.inserted
        assert counts(dry) == counts(real) == expected
        assert dry.dry_run
        assert not real.dry_run


@pytest.mark.parametrize("size", [1, 2, 5, 1_000])
async def test_batches_of_any_size_give_the_same(engine: AsyncEngine, tmp_path: Path, size: int) -> None:
    first, second, tenant_id = await colleagues(engine)
    write_corpus(tmp_path / "some", make_nodes(3))
    write_corpus(tmp_path / "all", make_nodes(5))
    seen: list[Progress] = []
    await import_corpus(engine, tmp_path / "some", tenant_id=tenant_id, user_id=first, batch_size=size)
    for user_id, expected in ((first, (5, 2, 3, 0)), (second, (5, 5, 0, 5))):
        seen.clear()
        result = await import_corpus(
            engine, tmp_path / "all", tenant_id=tenant_id, user_id=user_id, batch_size=size, on_progress=seen.append
        )
        assert counts(result) == expected
        assert [row["human_content"] for row in await rows_of(engine, user_id)] == [
            node["human_content"] for node in make_nodes(5)
        ]
        assert seen[0] == Progress("check", 5, 5)
        assert [progress.done for progress in seen[1:]] == sorted({progress.done for progress in seen[1:]})
        assert (len(seen[1:]), seen[-1]) == (-(-5 // size), Progress("write", 5, 5))


async def test_another_tenant_gets_all_under_the_same_ids(engine: AsyncEngine, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    for email in ("ines@example.com", "omar@example.com"):
        user_id, tenant_id = await create_user(engine, NewUser(email))
        assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id)) == (5, 5, 0, 0)
    async with engine.connect() as connection:
        statement = text("SELECT count(*), count(DISTINCT id), count(DISTINCT tenant_id) FROM memstore.memory_nodes")
        assert tuple((await connection.execute(statement)).one()) == (10, 5, 2)


async def test_a_colleague_gets_all_under_ids_of_their_own(engine: AsyncEngine, tmp_path: Path) -> None:
    first, second, tenant_id = await colleagues(engine)
    nodes = make_nodes()
    nodes[1]["mood"] = "calm"
    write_corpus(tmp_path, nodes)
    await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=first)
    before = await rows_of(engine, first)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=second)) == (5, 5, 0, 5)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=second)) == (5, 0, 5, 0)
    assert await rows_of(engine, first) == before

    theirs = await rows_of(engine, second)
    same = ("human_content", "embedding", "tags", "created_at", "last_accessed", "access_count", "sequence_index")
    assert [{key: row[key] for key in same} for row in theirs] == [{key: row[key] for key in same} for row in before]
    assert [row["metadata"] for row in theirs] == [
        row["metadata"] | {"memstore_source_id": row["id"]} for row in before
    ]
    assert theirs[1]["metadata"]["mood"] == "calm"

    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM memstore.memory_nodes WHERE user_id = :id"), {"id": first})
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=second)) == (5, 0, 5, 0)
    assert await rows_of(engine, second) == theirs
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=first)) == (5, 5, 0, 0)


async def test_memories_of_the_tenant_are_not_a_users(engine: AsyncEngine, tmp_path: Path) -> None:
    first, _, tenant_id = await colleagues(engine)
    write_corpus(tmp_path)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id)) == (5, 5, 0, 0)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id)) == (5, 0, 5, 0)
    assert counts(await import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=first)) == (5, 5, 0, 5)
    assert len(await rows_of(engine, None)) == len(await rows_of(engine, first)) == 5


async def test_two_imports_at_once_for_one_user_insert_each_node_once(engine: AsyncEngine, tmp_path: Path) -> None:
    write_corpus(tmp_path, make_nodes(300))
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    results = await asyncio.gather(
        *(import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id, batch_size=10) for _ in range(3))
    )
    assert sum(result.inserted for result in results) == 300
    assert [result.inserted + result.already_there for result in results] == [300] * 3
    assert sorted(await stored(engine)) == sorted(node["id"] for node in make_nodes(300))


async def test_two_colleagues_at_once_get_all(engine: AsyncEngine, tmp_path: Path) -> None:
    first, second, tenant_id = await colleagues(engine)
    write_corpus(tmp_path, make_nodes(300))
    results = await asyncio.gather(
        *(
            import_corpus(engine, tmp_path, tenant_id=tenant_id, user_id=user_id, batch_size=10)
            for user_id in (first, second)
        )
    )
    assert [(result.inserted, result.already_there) for result in results] == [(300, 0)] * 2
    assert sum(result.renamed for result in results) == 300
    assert len(await rows_of(engine, first)) == len(await rows_of(engine, second)) == 300


async def test_colleagues_in_opposite_order_do_not_lock_each_other_out(engine: AsyncEngine, tmp_path: Path) -> None:
    first, second, tenant_id = await colleagues(engine)
    nodes, vectors = make_nodes(2_000), make_vectors(2_000)
    write_corpus(tmp_path / "forward", nodes, vectors)
    write_corpus(tmp_path / "backward", nodes[::-1], vectors[::-1])
    results = await asyncio.gather(
        import_corpus(engine, tmp_path / "forward", tenant_id=tenant_id, user_id=first),
        import_corpus(engine, tmp_path / "backward", tenant_id=tenant_id, user_id=second),
    )
    assert [result.inserted for result in results] == [2_000] * 2
    assert len(await rows_of(engine, first)) == len(await rows_of(engine, second)) == 2_000


async def test_an_application_role_imports(url: URL, engine: AsyncEngine, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    first, second, tenant_id = await colleagues(engine)
    other = await create_tenant(engine, NewTenant("Globex"))
    role = f"app_{url.database}"
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    await grant(engine, role)
    try:
        async with connecting(url.set(username=role)) as as_role:
            for user_id, renamed in ((first, 0), (second, 5), (None, 5)):
                result = await import_corpus(as_role, tmp_path, tenant_id=tenant_id, user_id=user_id)
                assert counts(result) == (5, 5, 0, renamed)
            assert counts(await import_corpus(as_role, tmp_path, tenant_id=other)) == (5, 5, 0, 0)
            assert counts(await import_corpus(as_role, tmp_path, tenant_id=other)) == (5, 0, 5, 0)
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP OWNED BY {role}"))
            await connection.execute(text(f"DROP ROLE {role}"))


def test_the_result_counts_rows_a_second() -> None:
    result = ImportResult(read=10, inserted=4, already_there=6, renamed=0, seconds=2.0, dry_run=False)
    assert result.rows_per_second == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.read = 0  # type: ignore[misc]
