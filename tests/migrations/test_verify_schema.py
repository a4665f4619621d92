from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MigrationError, SchemaMismatchError
from memstore.migrations import downgrade, verify_schema
from memstore.migrations.scripts import revisions

HEAD, BEFORE = revisions()[-1], revisions()[-2]
NEXT = f"{len(revisions()) + 1:04}_of_a_later_release"
AFTER_NEXT = f"{len(revisions()) + 2:04}"


async def set_revision(engine: AsyncEngine, revision: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE memstore.alembic_version SET version_num = :to"), {"to": revision})


async def test_it_is_one_query(engine: AsyncEngine) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async with engine.connect():
        pass  # the first connection asks the server things of its own
    event.listen(engine.sync_engine, "before_cursor_execute", note)
    await verify_schema(engine, embedding_dim=4)
    assert len(statements) == 1
    assert statements[0].lstrip().startswith("SELECT")


async def test_the_url_of_the_application_is_its_own(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg2://somewhere/else")
    await verify_schema(engine)


async def test_a_new_process_may_start_before_the_migration(engine: AsyncEngine) -> None:
    await downgrade(engine, BEFORE)
    await verify_schema(engine, at_least=BEFORE)
    with pytest.raises(
        SchemaMismatchError, match=rf"is at {BEFORE}, .* needs {HEAD}. Run: memstore db upgrade \(1 revision\)"
    ):
        await verify_schema(engine)


async def test_an_old_process_may_start_after_the_migration(engine: AsyncEngine) -> None:
    await set_revision(engine, NEXT)
    for at_most in (NEXT, NEXT[:4], AFTER_NEXT):
        await verify_schema(engine, at_most=at_most)
    with pytest.raises(SchemaMismatchError, match=f"is at {NEXT}, which this version of memstore does not know"):
        await verify_schema(engine)


async def test_a_database_past_the_range_is_told_from_one_nobody_knows(engine: AsyncEngine) -> None:
    with pytest.raises(SchemaMismatchError, match=f"is at {HEAD}, this process works up to {BEFORE}. Start a newer"):
        await verify_schema(engine, at_least=BEFORE, at_most=BEFORE)
    await set_revision(engine, "by_hand")
    with pytest.raises(SchemaMismatchError, match="is at by_hand, which this version of memstore does not know"):
        await verify_schema(engine, at_most=AFTER_NEXT)


@pytest.mark.parametrize("revision", ["0001_x", "0003_something_else", f"{HEAD[:4]}_zzz"])
async def test_a_revision_of_another_name_is_one_nobody_knows(engine: AsyncEngine, revision: str) -> None:
    await set_revision(engine, revision)
    with pytest.raises(SchemaMismatchError, match=f"is at {revision}, which this version of memstore does not know"):
        await verify_schema(engine, at_least=revisions()[0], at_most=AFTER_NEXT)


async def test_two_revisions_and_a_missing_table_are_told_from_a_missing_upgrade(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO memstore.alembic_version VALUES ('0001_foundation')"))
    with pytest.raises(SchemaMismatchError, match=f"at 2 revisions, 0001_foundation and {HEAD}"):
        await verify_schema(engine)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE memstore.settings"))
    with pytest.raises(SchemaMismatchError, match='"memstore.settings" does not exist.* Run: memstore db check'):
        await verify_schema(engine)


async def test_an_empty_range_is_refused(engine: AsyncEngine) -> None:
    with pytest.raises(MigrationError, match=f"nothing is at least {HEAD} and at most 0003"):
        await verify_schema(engine, at_most="0003")


@pytest.mark.parametrize("revision", ["0099_nonsense", "nonsense"])
async def test_a_range_that_begins_nowhere_is_refused(engine: AsyncEngine, revision: str) -> None:
    with pytest.raises(MigrationError, match=f"no revision '{revision}'. There are: 0001_foundation"):
        await verify_schema(engine, at_least=revision)


async def test_a_range_that_ends_nowhere_is_refused(engine: AsyncEngine) -> None:
    with pytest.raises(MigrationError, match="no revision 'nonsense'. Needed: one that begins with its number"):
        await verify_schema(engine, at_most="nonsense")
