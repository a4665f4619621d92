from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.errors import MigrationError
from memstore.migrations import Level, downgrade, downgrade_to, plan_downgrade, render_sql, upgrade
from memstore.migrations.levels import level_of
from memstore.migrations.scripts import revisions, script_directory
from tests.hosts.project import USERS, Host, shown, version_locations
from tests.migrations.added_revisions import HEAD, copy_of_alembic, taken_for_ours, write_revision
from tests.migrations.test_environment import alembic
from tests.support import dump

IRREVERSIBLE = 'level = "irreversible"\nirreversible_because = "the texts are hashed by now"'
REFUSED = r"9001_hash is irreversible: the texts are hashed by now\. Nothing was done\."
ENV = shown(3, "python", "# migrations/env.py")


@pytest.fixture
def checkout(tmp_path: Path, url: URL) -> Iterator[Path]:  # noqa: ARG001 -- the database comes first, without them
    """A checkout with an irreversible revision, and another after it."""
    copy_of_alembic(tmp_path)
    write_revision(tmp_path, "9001_hash", level=IRREVERSIBLE)
    write_revision(tmp_path, "9002_after", "9001_hash", up='op.execute("CREATE TABLE memstore.after ()")')
    with taken_for_ours(tmp_path):
        yield tmp_path


def test_every_revision_of_ours_says_how_it_goes_back() -> None:
    for script in script_directory().walk_revisions():
        assert "level" in vars(script.module), script.path


@pytest.mark.parametrize("revision", [each for each in revisions() if each != "0001_foundation"])
def test_every_table_that_is_dropped_is_archived_first(revision: str) -> None:
    sql = render_sql(revision, revisions()[revisions().index(revision) - 1], embedding_dim=4)
    dropped = [line.rstrip(";").split(".")[-1] for line in sql.splitlines() if line.startswith("DROP TABLE memstore.")]
    for table in dropped:
        archived = sql.find(f"source regclass := 'memstore.{table}'")
        assert 0 <= archived < sql.find(f"DROP TABLE memstore.{table};"), table
    level = level_of(script_directory().get_revision(revision))
    assert level is (Level.REVERSIBLE_WITH_ARCHIVE if dropped else Level.REVERSIBLE)


LEVELS: dict[str, Level | str] = {
    "": Level.REVERSIBLE,
    'level = "reversible"': Level.REVERSIBLE,
    'level = "reversible_with_archive"': Level.REVERSIBLE_WITH_ARCHIVE,
    IRREVERSIBLE: Level.IRREVERSIBLE,
    'level = "final"': r"9001_x\.py: level is 'final'. Needed: 'reversible', 'reversible_with_archive', 'irreversible'",
    "level = []": r"9001_x\.py: level is \[\]",
    'level = "irreversible"': r"9001_x\.py: it is irreversible and does not say why. Add: irreversible_because = ",
    'level = "irreversible"\nirreversible_because = " "': "does not say why",
}


@pytest.mark.parametrize("declared", LEVELS)
def test_levels(tmp_path: Path, declared: str) -> None:
    write_revision(copy_of_alembic(tmp_path), "9001_x", level=declared)
    expected = LEVELS[declared]
    with taken_for_ours(tmp_path):
        script = script_directory().get_revision("9001_x")
        if isinstance(expected, Level):
            assert level_of(script) is expected
        else:
            with pytest.raises(MigrationError, match=expected):
                level_of(script)


async def own_transaction(engine: AsyncEngine) -> None:
    await downgrade(engine, "base")


async def callers_transaction(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await downgrade(connection, HEAD)


async def sync_connection(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: downgrade_to("base", sync))


async def rendered(_: AsyncEngine) -> None:
    render_sql("9002_after", "0003_agents_sessions", embedding_dim=4)


async def planned(engine: AsyncEngine) -> None:
    await plan_downgrade(engine, "-2")


WAYS = [own_transaction, callers_transaction, sync_connection, rendered, planned]
STATE = """
    SELECT (SELECT count(*) FROM memstore.migration_ledger), (SELECT version_num FROM memstore.alembic_version),
           to_regclass('memstore.after')::text, (SELECT count(*) FROM pg_namespace)
"""


async def state(connection: AsyncConnection) -> tuple[object, ...]:
    return tuple((await connection.execute(text(STATE))).one())


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_irreversible_is_refused_before_anything_is_touched(
    engine: AsyncEngine, way: Callable[[AsyncEngine], Awaitable[None]]
) -> None:
    await upgrade(engine)
    async with engine.connect() as connection:
        before = await state(connection)
        assert before[1:3] == ("9002_after", "memstore.after")
        await connection.rollback()
        with pytest.raises(MigrationError, match=REFUSED):
            await way(engine)
        assert await state(connection) == before


@pytest.mark.usefixtures("checkout")
async def test_the_way_down_ends_where_it_is_irreversible(engine: AsyncEngine) -> None:
    await upgrade(engine)
    result = await downgrade(engine, "9001_hash")
    assert [step.revision for step in result.steps] == ["9002_after"]


def test_the_command_alembic_refuses_too(checkout: Path, url: URL) -> None:
    assert alembic(checkout, url, "upgrade", "head").returncode == 0
    before = dump(url)
    down = alembic(checkout, url, "downgrade", "base")
    assert down.returncode != 0
    assert "9001_hash is irreversible: the texts are hashed by now" in down.stdout + down.stderr
    assert dump(url) == before


async def test_a_way_up_looks_at_no_level(tmp_path: Path, engine: AsyncEngine) -> None:
    write_revision(copy_of_alembic(tmp_path), "9001_x", level='level = "final"')
    with taken_for_ours(tmp_path):
        await upgrade(engine)
        with pytest.raises(MigrationError, match="level is 'final'"):
            await downgrade(engine, "base")


def test_a_host_is_refused_by_all_revisions_of_the_run(tmp_path: Path, empty_url: URL) -> None:
    late = USERS.replace('"a1_users"', '"b2_hash"').replace("down_revision = None", 'down_revision = "a1_users"')
    late = late.replace('branch_labels = ("app",)', IRREVERSIBLE).replace('"users"', '"hashes"')
    last = late.replace('"b2_hash"', '"c3_last"').replace('"a1_users"', '"b2_hash"').replace('"hashes"', '"last"')
    host = Host.create(
        tmp_path,
        empty_url,
        "psycopg",
        env=ENV,
        ini=version_locations(),
        b2_hash=late,
        c3_last=last.replace(IRREVERSIBLE, ""),
    )
    host.upgrade("heads")
    before = dump(empty_url)
    for target in ("app@base", "a1_users"):
        with pytest.raises(CommandError, match="b2_hash is irreversible: the texts are hashed by now"):
            host.downgrade(target)
    assert dump(empty_url) == before
