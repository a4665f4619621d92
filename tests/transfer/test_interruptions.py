from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import IdentityConflictError, ServerUnreachableError
from memstore.store import NewUser, create_user
from memstore.transfer import Progress, import_corpus
from tests.support import raw_dsn, run_in_thread
from tests.transfer.corpora import make_nodes, write_corpus


async def test_a_lost_server_is_named_and_a_rerun_finishes(url: URL, engine: AsyncEngine, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, make_nodes(50))
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    importer = create_engine(url, application_name="doomed")
    terminations: list[asyncio.Task[None]] = []

    async def terminate() -> None:
        async with engine.connect() as connection:
            kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doomed'"
            await connection.execute(text(kill))

    def on_progress(progress: Progress) -> None:
        if progress.phase == "write" and not terminations:
            terminations.append(asyncio.get_running_loop().create_task(terminate()))

    with pytest.raises(ServerUnreachableError, match="connection to .* was lost"):
        await import_corpus(
            importer, folder, tenant_id=tenant_id, user_id=user_id, batch_size=1, on_progress=on_progress
        )
    await importer.dispose()
    last = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
    assert last.inserted + last.already_there == 50
    assert last.already_there > 0


async def test_a_cancelled_import_stops_and_a_rerun_finishes(engine: AsyncEngine, tmp_path: Path) -> None:
    """Of two batches the second has one node, so that the first is under way when it is written."""
    folder = write_corpus(tmp_path, make_nodes(2_001))
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))

    def on_progress(progress: Progress) -> None:
        if progress.phase == "write" and not importing.cancelling():
            importing.cancel()

    importing = asyncio.create_task(
        import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id, on_progress=on_progress)
    )
    with pytest.raises(asyncio.CancelledError):
        await importing
    last = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
    assert last.inserted + last.already_there == 2_001
    assert last.inserted > 0


@pytest.mark.parametrize("phase", ["check", "write"])
async def test_a_cancelled_import_does_not_wait_for_a_server_that_hangs(
    url: URL, engine: AsyncEngine, tmp_path: Path, phase: str
) -> None:
    folder = write_corpus(tmp_path, make_nodes(2_001))  # two batches, as above
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    importer = create_engine(url, application_name="frozen")
    frozen: list[int] = []

    async def freeze() -> None:
        connection = await asyncpg.connect(raw_dsn(url))
        for row in await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'frozen'"):
            os.kill(row["pid"], signal.SIGSTOP)
            frozen.append(row["pid"])
        await connection.close()

    def on_progress(progress: Progress) -> None:
        if progress.phase == phase and progress.done in (1, 2_001) and not frozen:
            run_in_thread(freeze())
            asyncio.get_running_loop().call_later(0.2, importing.cancel)

    importing = asyncio.create_task(
        import_corpus(importer, folder, tenant_id=tenant_id, user_id=user_id, on_progress=on_progress)
    )
    try:
        ended, _ = await asyncio.wait([importing], timeout=3)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert len(frozen) >= 2
    assert ended == {importing}
    assert importing.cancelled()
    await importer.dispose()


@pytest.mark.parametrize("phase", ["check", "write"])
async def test_what_a_caller_raises_is_left_as_it_is(engine: AsyncEngine, tmp_path: Path, phase: str) -> None:
    folder = write_corpus(tmp_path, make_nodes(2_001))  # two batches, as above
    _, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    raised: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        if progress.phase == phase and not raised:
            raised.append(progress)
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await import_corpus(engine, folder, tenant_id=tenant_id, on_progress=on_progress)
    async with engine.connect() as connection:
        written = await connection.scalar(text("SELECT count(*) FROM memstore.memory_nodes"))
    assert written == (0 if phase == "check" else raised[0].done)


async def test_a_pool_of_one_connection_is_enough(url: URL, tmp_path: Path) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=5)
    user_id, tenant_id = await create_user(engine, NewUser("ines@example.com"))
    folder = write_corpus(tmp_path, make_nodes(20))
    result = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id, batch_size=3)
    assert result.inserted == 20
    await engine.dispose()


async def test_an_engine_in_autocommit_makes_one_tenant_and_imports(url: URL, tmp_path: Path) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    users = [NewUser(f"user{n}@example.com", tenant="Acme") for n in range(8)]
    made = await asyncio.gather(*(create_user(engine, user) for user in users))
    assert len({tenant_id for _, tenant_id in made}) == 1
    with pytest.raises(IdentityConflictError, match="there is a user 'user0@example.com' already"):
        await create_user(engine, users[0])
    with pytest.raises(IntegrityError):
        await create_user(engine, NewUser("ines@example.com", tenant="Beta", id=made[0][0]))
    async with engine.connect() as connection:
        assert list(await connection.scalars(text("SELECT name FROM memstore.tenants"))) == ["Acme"]
    user_id, tenant_id = made[0]
    result = await import_corpus(engine, write_corpus(tmp_path), tenant_id=tenant_id, user_id=user_id)
    assert result.inserted == 5
    await engine.dispose()
