from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MigrationError, RequirementError
from memstore.migrations import requirements, status, upgrade
from memstore.migrations.environment import Run
from memstore.migrations.lock import ADVISORY_LOCK, migration_connection
from memstore.migrations.scripts import make_config, revisions
from memstore.settings import Settings
from tests.passwords import password_asked
from tests.support import ROOT, Completed, Server, run_python

HEAD, NEXT = revisions()[-1], f"{len(revisions()) + 1:04}"

AUTOCOMMIT_REVISION = '''"""Read lock_timeout before, inside and after an autocommit block."""
from alembic import op

revision = "0099_autocommit"
down_revision = "{head}"


def upgrade():
    op.execute("CREATE TABLE memstore.seen (place text, lock_timeout text)")
    op.execute("INSERT INTO memstore.seen VALUES ('before', current_setting('lock_timeout'))")
    with op.get_context().autocommit_block():
        op.execute("INSERT INTO memstore.seen VALUES ('inside', current_setting('lock_timeout'))")
    op.execute("INSERT INTO memstore.seen VALUES ('after', current_setting('lock_timeout'))")


def downgrade():
    op.execute("DROP TABLE memstore.seen")
'''

SLEEPING_REVISION = '''"""Take a while."""
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    op.execute("SELECT pg_sleep({seconds})")
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of alembic.ini and alembic/, to add revisions to."""
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def alembic(checkout: Path, url: URL | None, *arguments: str, **environment: str) -> Completed:
    return run_python("-m", "alembic", *arguments, url=url, cwd=checkout, **environment)


async def test_the_plain_alembic_command(checkout: Path, empty_url: URL) -> None:
    up = alembic(checkout, empty_url, "-x", "embedding_dim=8", "upgrade", "head")
    assert up.returncode == 0, up.stderr
    assert f"Running upgrade {revisions()[-2]} -> {HEAD}" in up.stderr
    assert "(head)" in alembic(checkout, empty_url, "current").stdout
    assert "No new upgrade operations detected" in alembic(checkout, empty_url, "check").stdout
    down = alembic(checkout, empty_url, "downgrade", "-1")
    assert down.returncode == 0, down.stderr
    assert (await status(empty_url)).current == revisions()[-2]
    behind = alembic(checkout, empty_url, "check")
    assert behind.returncode != 0
    assert "Target database is not up to date" in behind.stderr + behind.stdout
    sql = alembic(checkout, None, "upgrade", "head", "--sql", MEMSTORE_EMBEDDING_DIM="12")
    assert "VECTOR(12)" in sql.stdout


def test_commands_that_only_look_write_nothing(checkout: Path, empty_url: URL) -> None:
    for look in ("current", "history"):
        done = alembic(checkout, empty_url, look)
        assert done.returncode == 0, done.stderr
    behind = alembic(checkout, empty_url, "check")
    assert "Target database is not up to date" in behind.stderr + behind.stdout
    assert asyncio.run(_count_schemas(empty_url)) == 0


async def test_a_command_that_moves_waits_for_its_turn_and_one_that_looks_does_not(
    checkout: Path, url: URL, engine: AsyncEngine
) -> None:
    arrived = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alembic (memstore)'"
    async with engine.connect() as holder:
        await holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        await holder.commit()
        looking = alembic(checkout, url, "current", MEMSTORE_MIGRATION_WAIT_S="0.1")
        assert "(head)" in looking.stdout, looking.stderr
        moving = asyncio.create_task(asyncio.to_thread(alembic, checkout, url, "downgrade", "-1"))
        while not await holder.scalar(text(arrived)) and not moving.done():
            await holder.rollback()
        await asyncio.wait([moving], timeout=0.5)
        assert not moving.done()
        await holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        done = await moving
    assert done.returncode == 0, done.stderr
    assert (await status(engine)).current == revisions()[-2]


async def _count_schemas(url: URL) -> object:
    from memstore.database import connecting

    async with connecting(url) as engine, engine.connect() as connection:
        return await connection.scalar(text("SELECT count(*) FROM pg_namespace WHERE nspname = 'memstore'"))


def test_errors_have_no_traceback(checkout: Path, url: URL) -> None:
    wrong = alembic(checkout, url, "-x", "embedding_dim=5", "upgrade", "head")
    assert wrong.returncode != 0
    assert "holds embeddings of 4 dimensions, 5 were asked for" in wrong.stdout + wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_new_revision_gets_the_next_number_and_an_unchanged_schema_nothing_to_do(checkout: Path, url: URL) -> None:
    made = alembic(checkout, url, "revision", "--autogenerate", "-m", "Nothing has changed here, and the name is long")
    assert made.returncode == 0, made.stderr
    path = checkout / "alembic" / "versions" / f"{NEXT}_nothing_has_changed_here_an.py"
    written = path.read_text()
    assert len(path.stem) == 32
    assert re.search(r"def upgrade\(\) -> None:\n    # ### .*\n    pass", written)
    assert f"down_revision = '{HEAD}'" in written
    assert alembic(checkout, url, "upgrade", "head").returncode == 0
    assert f"{NEXT}_nothing_has_changed_here_an (head)" in alembic(checkout, url, "current").stdout


def test_a_revision_by_hand_gets_the_next_number_unless_an_id_is_asked_for(checkout: Path, url: URL) -> None:
    alembic(checkout, url, "revision", "-m", "By hand")
    alembic(checkout, url, "revision", "-m", "By hand too", "--rev-id", "aaaa_mine")
    versions = checkout / "alembic" / "versions"
    made = {path.stem for path in versions.glob("*.py")} - set(revisions())
    assert made == {f"{len(revisions()) + 1:04}_by_hand", "aaaa_mine"}


async def test_the_ledger_says_how_long_each_step_took_and_of_which_text(checkout: Path, url: URL) -> None:
    slow = SLEEPING_REVISION.format(revision="0098_slow", before=HEAD, seconds=0.5)
    quick = SLEEPING_REVISION.format(revision="0099_quick", before="0098_slow", seconds=0)
    for name, content in (("0098_slow.py", slow), ("0099_quick.py", quick)):
        (checkout / "alembic" / "versions" / name).write_text(content, newline="\r\n")
    done = alembic(checkout, url, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    steps = (await status(url)).history[-2:]
    assert [step.checksum for step in steps] == [hashlib.sha256(each.encode()).hexdigest() for each in (slow, quick)]
    assert 500 <= steps[0].duration_ms < 60_000
    assert steps[1].duration_ms < 500


@pytest.mark.parametrize("password", ["p%41", "100%", "a@b/c d", "%(here)s"])
def test_any_password_reaches_the_server(checkout: Path, server: Server, url: URL, password: str) -> None:
    """An alembic.ini would interpolate its % signs."""
    role = f"asked_{url.database}"
    with password_asked(server, database=str(url.database), role=role, password=password):
        server.execute(f"ALTER ROLE {role} SUPERUSER")
        done = alembic(checkout, url.set(username=role, password=password), "current")
    assert done.returncode == 0, done.stderr
    assert password not in done.stderr + done.stdout


def test_without_a_url_the_embedded_server_of_alembic_ini_is_used(checkout: Path) -> None:
    done = alembic(checkout, None, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert (checkout / ".memstore" / "postgres" / "PG_VERSION").is_file()


async def test_a_connection_in_a_transaction_is_refused_and_nothing_is_written(empty_engine: AsyncEngine) -> None:
    """Alembic would take the transaction for the caller's, commit nothing and report success."""

    def upgrade_within(connection: Connection) -> None:
        connection.execute(text("SET lock_timeout = '1s'"))
        config = make_config()
        config.attributes[Run.KEY] = Run(Settings(), connection=connection)
        command.upgrade(config, "head")

    async with empty_engine.connect() as connection:
        with pytest.raises(MigrationError, match="has a transaction open"):
            await connection.run_sync(upgrade_within)
    assert (await status(empty_engine)).current is None


async def test_a_connection_handed_over_is_used(empty_engine: AsyncEngine) -> None:
    def upgrade_on(connection: Connection) -> None:
        config = make_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with empty_engine.connect() as connection:
        await connection.run_sync(upgrade_on)
    assert (await status(empty_engine)).current == HEAD


async def test_lock_timeout_holds_inside_and_after_an_autocommit_block(checkout: Path, engine: AsyncEngine) -> None:
    revision = AUTOCOMMIT_REVISION.format(head=HEAD)
    (checkout / "alembic" / "versions" / "0099_autocommit.py").write_text(revision)
    settings = Settings(lock_timeout_ms=1_234)

    def upgrade_in_checkout(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(checkout / "alembic"))
        config.set_main_option("path_separator", "os")
        config.attributes[Run.KEY] = Run(settings, connection=connection)
        command.upgrade(config, "head")

    async with migration_connection(engine, settings) as connection:
        await connection.run_sync(upgrade_in_checkout)
    async with engine.connect() as connection:
        seen = await connection.execute(text("SELECT place, lock_timeout FROM memstore.seen"))
        assert dict(map(tuple, seen)) == {"before": "1234ms", "inside": "1234ms", "after": "1234ms"}
        version = await connection.scalar(text("SELECT version_num FROM memstore.alembic_version"))
        assert version == "0099_autocommit"


async def test_a_server_that_is_too_old_is_left_alone(
    empty_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "SERVER_VERSION_NUM", 990_000)
    too_old = r"the server is PostgreSQL 1\d.*, memstore needs 99 or newer"
    with pytest.raises(RequirementError, match=too_old):
        await upgrade(empty_engine)

    def upgrade_on(connection: Connection) -> None:
        config = make_config()
        config.attributes[Run.KEY] = Run(Settings(), connection=connection)
        command.upgrade(config, "head")

    async with empty_engine.connect() as connection:
        with pytest.raises(RequirementError, match=too_old):
            await connection.run_sync(upgrade_on)
    assert (await status(empty_engine)).current is None


async def test_an_installed_pgvector_that_is_too_old_is_left_alone(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "VECTOR_VERSION", (99, 1))
    with pytest.raises(RequirementError, match=r"pgvector is 0\.\d.*memstore needs 99\.1 or newer\. Install"):
        await upgrade(engine)


async def test_an_installed_pgvector_is_judged_by_its_number(engine: AsyncEngine) -> None:
    async def install(version: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'vector'"))

    await install("0.7.4")
    with pytest.raises(
        RequirementError, match=r"is 0\.7\.4, memstore needs 0\.8 or newer\. Run: ALTER EXTENSION vector"
    ):
        await upgrade(engine)
    await install("0.10.0")
    assert (await upgrade(engine)).steps == ()
