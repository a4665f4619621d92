from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.database import create_engine
from memstore.migrations import check, downgrade, grant, upgrade
from memstore.migrations.catalog import Difference
from memstore.migrations.check import SchemaCheck, compare_with
from memstore.migrations.scripts import revisions
from tests.migrations.catalog.mutations import HARMLESS, MUTATIONS
from tests.migrations.catalog.mutations_of_code import ALL_OF_THE_MIRROR_ON
from tests.migrations.catalog.mutations_of_tables import INDEX_ATTRIBUTES, INDEXES
from tests.support import Server, run_in_thread

# Nothing can be said in SQL that gives these back as they were.
LOST = {
    "ALTER TABLE memstore.agents RENAME TO agents_old",
    "DROP TABLE memstore.feedback CASCADE",
    "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'",
}


@pytest.fixture(scope="module")
def database(server: Server) -> Iterator[URL]:
    """A database for all cases, of which each is rolled back."""
    url = server.create_database(4)
    server.execute(f"CREATE ROLE app_{url.database}", f"CREATE ROLE role_{url.database}")
    run_in_thread(grant(url, f"app_{url.database}"))
    yield url
    server.drop_database(url)
    server.execute(f"DROP ROLE app_{url.database}", f"DROP ROLE role_{url.database}")


@pytest_asyncio.fixture
async def connection(database: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(database)
    async with engine.connect() as connection:
        yield connection
        await connection.rollback()
    await engine.dispose()


def named(template: str, database: URL) -> str:
    return template.replace("{role}", f"role_{database.database}").replace("{app}", f"app_{database.database}")


async def run(connection: AsyncConnection, script: str) -> None:
    for statement in script.split("; "):
        await connection.execute(text(statement.replace(":", "\\:")))


async def compare(connection: AsyncConnection) -> SchemaCheck:
    return await connection.run_sync(compare_with, revisions()[-1])


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_each_change_is_named_and_undone_by_what_to_type(
    connection: AsyncConnection, database: URL, mutation: str
) -> None:
    await run(connection, named(mutation, database))
    found = await compare(connection)
    assert {each.object for each in found.differences} == {named(each, database) for each in MUTATIONS[mutation]}
    if mutation not in LOST:
        await repair(connection, found.differences)
        assert (await compare(connection)).differences == ()


async def repair(connection: AsyncConnection, differences: tuple[Difference, ...]) -> None:
    for difference in differences:
        assert difference.remedy
        for statement in difference.remedy:
            # A test is one transaction, in which nothing can be done concurrently.
            await connection.exec_driver_sql(statement.replace("CONCURRENTLY ", ""))


@pytest.mark.parametrize("state", ["DISABLE", "ENABLE"])
async def test_mending_leaves_the_triggers_of_the_mirror_as_they_were(connection: AsyncConnection, state: str) -> None:
    nodes = "ALTER TABLE memstore.memory_nodes"
    await run(connection, f"{nodes} DISABLE TRIGGER ALL; {nodes} ENABLE TRIGGER touch")
    await run(connection, ALL_OF_THE_MIRROR_ON.replace("ENABLE", state))
    await repair(connection, (await compare(connection)).differences)
    assert (await compare(connection)).differences == ()
    found = await connection.scalars(text("SELECT tgenabled::text FROM pg_trigger WHERE tgname LIKE 'mirror%'"))
    assert found.all() == [state.replace("ENABLE", "O")[0]] * 4


@pytest.mark.parametrize("words", INDEX_ATTRIBUTES)
async def test_what_is_different_about_an_index_is_said(connection: AsyncConnection, words: str) -> None:
    mutation = next(each for each in INDEXES if words in each)
    await run(connection, mutation)
    (difference,) = (await compare(connection)).differences
    assert {change.attribute for change in difference.changes} == INDEX_ATTRIBUTES[words]


@pytest.mark.parametrize("change", HARMLESS)
async def test_what_belongs_to_operators_is_no_difference(
    connection: AsyncConnection, database: URL, change: str
) -> None:
    await run(connection, named(change, database))
    assert (await compare(connection)).differences == ()


async def test_nothing_differs_at_any_revision_on_the_way_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    for move, to in [
        *((upgrade, revision) for revision in revisions()),
        *((downgrade, revision) for revision in reversed(revisions()[:-1])),
        (upgrade, revisions()[-1]),
    ]:
        await move(empty_engine, to)
        found = await check(empty_engine)
        assert (found.revision, found.differences) == (to, ())
