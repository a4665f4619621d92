"""memstore's revisions among those of a host, under its env.py and its version table."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy.engine import URL

from memstore import verify_schema
from memstore.errors import MigrationError
from memstore.migrations import downgrade, status, upgrade
from memstore.migrations.scripts import revisions, version_location
from tests.cli.command import psql
from tests.hosts.project import AFTER, ENVS, INI, Host, shown, version_locations
from tests.support import Server, dump, run_in_thread

HEAD = revisions()[-1]
ENV = shown(3, "python", "# migrations/env.py")
EXTENSIONS = "SELECT extname::text FROM pg_extension ORDER BY 1"
SCHEMA = "SELECT to_regnamespace('memstore')::text"
OURS = "SELECT version_num FROM memstore.alembic_version"
THEIRS = "SELECT version_num FROM alembic_version ORDER BY 1"


def create(folder: Path, url: URL, driver: str = "psycopg", env: str = ENV, **revisions: str) -> Host:
    return Host.create(folder, url, driver, env=env, ini=version_locations(), **revisions)


# What another run might commit between the plan of this one and its first step.
MEANWHILE = """
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA memstore")
        connection.exec_driver_sql("CREATE TABLE memstore.alembic_version AS SELECT '0003_agents_sessions' version_num")
"""
ZETA = """
revision = "z1_other"
down_revision = None
branch_labels = ("zeta",)


def upgrade():
    pass


def downgrade():
    pass
"""


def with_options(driver: str) -> str:
    env = ENVS[driver].replace("target_metadata=Base.metadata", "target_metadata=Base.metadata, **host_options()")
    return f"from memstore.migrations import host_options\n{env}"


def snapshot(url: URL) -> list[str]:
    return [line for line in dump(url) if "public" not in line]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_it_builds_what_memstore_builds_itself_and_both_version_tables_say_so(
    tmp_path: Path, empty_url: URL, url: URL, driver: str
) -> None:
    host = create(tmp_path, empty_url, driver, with_options(driver))
    host.upgrade("memstore@head", "embedding_dim=4")
    host.rows("DROP TABLE alembic_version")
    assert dump(empty_url) == dump(url)
    assert host.rows(OURS) == [(HEAD,)]
    run_in_thread(verify_schema(empty_url))
    found = asyncio.run(status(empty_url))
    assert [step.revision for step in found.history] == list(revisions())
    assert all(step.checksum for step in found.history)


def test_a_downgrade_of_everything_is_refused_before_it_begins(tmp_path: Path, empty_url: URL) -> None:
    for each, options in enumerate(("", "transaction_per_migration=True, ")):
        host = create(tmp_path / str(each), empty_url, env=ENV.replace("**host", f"{options}**host"))
        host.upgrade("app@head")
        host.upgrade("memstore@0003_agents_sessions")
        before = dump(empty_url)
        for target in ("base", "memstore@base", "0002_tenants_users"):
            with pytest.raises(CommandError, match=r"alembic downgrade app@base .* alembic -x memstore=downgrade"):
                host.downgrade(target)
        assert dump(empty_url) == before
        assert host.rows(THEIRS) == [("0003_agents_sessions",), ("a1_users",)]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_the_host_goes_down_alone_and_memstore_when_it_is_asked_to(tmp_path: Path, empty_url: URL, driver: str) -> None:
    host = create(tmp_path, empty_url, driver, with_options(driver))
    host.upgrade("heads")
    host.downgrade("a1_users@base")
    assert host.rows(THEIRS) == [(HEAD,)]
    assert host.rows(OURS) == [(HEAD,)]
    host.downgrade("memstore@0005_tools", "memstore=downgrade")
    assert host.rows(THEIRS) == host.rows(OURS) == [("0005_tools",)]
    steps = asyncio.run(status(empty_url)).history
    assert (steps[-1].revision, steps[-1].direction) == ("0006_episodes", "downgrade")
    host.downgrade("memstore@base", "memstore=downgrade")
    assert host.rows(SCHEMA) == [(None,)]
    assert host.rows(EXTENSIONS) == [("plpgsql",), ("vector",)]
    host.upgrade("heads")
    run_in_thread(verify_schema(empty_url))


def test_another_word_than_downgrade_is_not_taken_for_it(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    host.upgrade("0001_foundation")
    with pytest.raises(CommandError, match="-x memstore=yes is not known"):
        host.downgrade("memstore@base", "memstore=yes")


def test_the_message_names_a_branch_without_a_label_by_its_first_revision(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    users = tmp_path / "migrations" / "versions" / "a1_users.py"
    users.write_text(users.read_text().replace('branch_labels = ("app",)', ""))
    host.upgrade("a1_users")
    host.upgrade("0001_foundation")
    with pytest.raises(CommandError, match="alembic downgrade a1_users@base"):
        host.downgrade("base")


def test_the_message_names_every_branch_of_the_host(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url, z1_other=ZETA)
    host.upgrade("heads")
    with pytest.raises(CommandError, match="own revisions: alembic downgrade app@base, alembic downgrade zeta@base "):
        host.downgrade("base")


def test_a_run_that_waited_for_another_does_not_take_its_steps_again(tmp_path: Path, empty_url: URL) -> None:
    first = f"from alembic import context\nfrom sqlalchemy import NullPool, create_engine\n{ZETA}".replace(
        "    pass", MEANWHILE, 1
    )
    host = create(tmp_path, empty_url, z1_other=first)
    ini, ours = host.folder / "alembic.ini", version_location()
    lines = ini.read_text().replace(f"    {ours}\n", "")
    ini.write_text(lines.replace("version_locations =\n", f"version_locations =\n    {ours}\n"))
    with pytest.raises(CommandError, match="another run did it meanwhile: memstore is at 0003.*Run the command again"):
        host.upgrade("heads")
    assert host.rows("SELECT to_regclass('memstore.settings')::text, to_regclass('users')::text") == [(None, None)]


def test_an_env_without_our_options_is_told_to_add_them(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url, env=ENVS["psycopg"])
    host.rows("CREATE SCHEMA memstore")
    with pytest.raises(MigrationError, match=r"without its options\. Add to .*\*\*memstore.migrations.host_options"):
        host.upgrade("heads")


def test_a_failure_of_the_host_undoes_all_of_it(tmp_path: Path, empty_url: URL) -> None:
    failing = AFTER.replace("CREATE TABLE seen AS SELECT", "SELECT 1 / 0,")
    host = create(tmp_path, empty_url, b2_after=failing)
    with pytest.raises(Exception, match="division by zero"):
        host.upgrade("heads")
    assert host.rows(SCHEMA) == [(None,)]
    assert host.rows("SELECT to_regclass('alembic_version')::text") == [(None,)]


def test_a_host_that_depends_on_ours_finds_its_session_as_it_was(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url, b2_after=AFTER)
    host.upgrade("b2_after")
    assert host.rows("SELECT wait, path FROM seen") == [("0", '"$user", public')]
    assert host.rows(THEIRS) == [("b2_after",)]  # which stands for 0003 too
    assert host.rows(OURS) == [("0003_agents_sessions",)]
    host.upgrade("heads")
    assert host.rows(OURS) == [(HEAD,)]
    host.downgrade("app@base")
    assert host.rows(OURS) == [(HEAD,)]


def test_our_own_command_does_not_go_behind_the_hosts_version_table(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    host.upgrade("memstore@0003_agents_sessions")
    for step in (upgrade(empty_url), downgrade(empty_url, "base")):
        with pytest.raises(MigrationError, match="version table alembic_version .* alembic upgrade memstore@head"):
            run_in_thread(step)
    assert host.rows(OURS) == [("0003_agents_sessions",)]


def test_a_database_comes_from_our_own_command_and_goes_back_to_it(tmp_path: Path, empty_url: URL) -> None:
    run_in_thread(upgrade(empty_url, "0005_tools", embedding_dim=384))
    host = create(tmp_path, empty_url)
    with pytest.raises(CommandError, match="memstore is at 0005_tools .* nothing by your table .*: alembic stamp 0005"):
        host.upgrade("heads")
    command.stamp(host.config(), "0005_tools")
    host.upgrade("heads")
    command.stamp(host.config(), "memstore@base")
    assert host.rows(THEIRS) == [("a1_users",)]
    assert host.rows(OURS) == [(HEAD,)]
    run_in_thread(downgrade(empty_url, revisions()[-2]))
    steps = asyncio.run(status(empty_url)).history
    assert [(step.revision, step.direction) for step in steps[5:]] == [
        ("0005_tools", "stamp"),
        *((revision, "upgrade") for revision in revisions()[5:]),
        (HEAD, "downgrade"),
    ]


def test_the_rendered_sql_builds_the_same(tmp_path: Path, empty_url: URL, server: Server) -> None:
    host = create(tmp_path, empty_url)
    sql = host.sql("heads")
    host.upgrade("heads")
    online = dump(empty_url)
    other = server.create_database(None)
    rendered = Host(tmp_path, other.set(drivername="postgresql+psycopg"))
    psql(server, other, sql)
    assert dump(other) == online
    assert rendered.rows(THEIRS) == [(HEAD,), ("a1_users",)]
    assert rendered.rows(OURS) == [(HEAD,)]
    assert rendered.rows("SELECT value FROM memstore.settings ORDER BY key") == [(384,), ("alembic_version",)]
    server.drop_database(other)


def test_revisions_that_alembic_does_not_find_are_missed(tmp_path: Path, empty_url: URL) -> None:
    host = Host.create(tmp_path, empty_url, "psycopg", env=ENV, ini=INI)
    with pytest.raises(CommandError, match="none of memstore's revisions. Add a line to version_locations"):
        host.upgrade("heads")


def test_a_width_that_the_database_does_not_have_is_refused_on_the_way_up_alone(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    host.upgrade("memstore@0003_agents_sessions", "embedding_dim=8")
    with pytest.raises(CommandError, match="holds embeddings of 8 dimensions, 384 were asked for"):
        host.upgrade("heads")
    with pytest.raises(CommandError, match="-x embedding_dim is 'wide'"):
        host.upgrade("heads", "embedding_dim=wide")
    host.downgrade("memstore@0002_tenants_users", "memstore=downgrade")
    assert host.rows(OURS) == [("0002_tenants_users",)]
