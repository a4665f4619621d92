from __future__ import annotations

import re
from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import TamperError
from memstore.migrations import adopt, downgrade, repair, status, upgrade, verify_schema
from tests.cli.command import memstore, refused
from tests.hosts.project import ENVS, Host, shown, version_locations
from tests.migrations.sums.released import FOURTH, LAST, NEW, REVISIONS, Released, forget
from tests.support import dump, run_python

BLOCKING: dict[str, Callable[[Released], object]] = {
    "changed": lambda released: released.change(FOURTH),
    "missing": lambda released: released.file(FOURTH).unlink(),
    "inserted": lambda released: released.add(NEW, FOURTH),
    "sums_edited": lambda released: released.edit_sums(released.line(FOURTH), ""),
}


@pytest.mark.parametrize("problem", [*BLOCKING, "applied_differently"])
async def test_nothing_goes_up_or_down(released: Released, engine: AsyncEngine, problem: str) -> None:
    await downgrade(engine, REVISIONS[-2])
    await upgrade(engine)
    if problem == "applied_differently":
        await say_applied(engine, FOURTH)
    else:
        BLOCKING[problem](released)
    before = dump(engine.url), await ledger(engine)
    for to in (REVISIONS[-2], "base"):
        with pytest.raises(TamperError, match="memstore db verify") as caught:
            await downgrade(engine, to)
    with pytest.raises(TamperError):
        await upgrade(engine)
    assert problem in {each.problem for each in caught.value.findings}
    assert caught.value.code == "tampered"
    assert (dump(engine.url), await ledger(engine)) == before


async def test_nor_in_the_transaction_of_a_caller(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    async with engine.begin() as connection:
        with pytest.raises(TamperError):
            await downgrade(connection, "base")
    assert (await ledger(engine))[-1] == (LAST, "upgrade")


async def test_an_empty_database_stays_empty(released: Released, empty_engine: AsyncEngine) -> None:
    before = dump(empty_engine.url)
    released.file(FOURTH).unlink()
    with pytest.raises(TamperError):
        await upgrade(empty_engine)
    assert dump(empty_engine.url) == before


@pytest.mark.parametrize("tamper", ["changed", "missing"])
async def test_nor_by_the_command(released: Released, url: URL, engine: AsyncEngine, tamper: str) -> None:
    BLOCKING[tamper](released)
    before = await ledger(engine)
    for command in (("upgrade",), ("downgrade", "base", "--yes")):
        assert f"{FOURTH}: {tamper}" in refused("db", *command, url=url, lines=2)
    assert await ledger(engine) == before


@pytest.mark.parametrize("tamper", ["changed", "missing"])
async def test_nor_by_the_plain_alembic_command(released: Released, url: URL, engine: AsyncEngine, tamper: str) -> None:
    BLOCKING[tamper](released)
    before = await ledger(engine)
    done = run_python("-m", "alembic", "downgrade", "-1", url=url, cwd=released.folder)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "what was released is not as it was" in said
    assert f"{FOURTH}: {tamper}" in said
    assert "Traceback" not in said
    assert await ledger(engine) == before


def refusal(problem: str) -> re.Pattern[str]:
    words = "what was released is not as it was. Nothing was done. To see it all, and what to do: memstore db verify"
    return re.compile(rf"{re.escape(words)}\n  {FOURTH}: {problem} ")


@pytest.mark.parametrize(("driver", "tamper"), [("psycopg", "changed"), ("asyncpg", "changed"), ("psycopg", "missing")])
def test_nor_among_the_revisions_of_a_host(
    released: Released, tmp_path: Path, empty_url: URL, driver: str, tamper: str
) -> None:
    before = dump(empty_url)
    env = shown(3, "python", "# migrations/env.py") if driver == "psycopg" else HOST_ENV
    host = Host.create(tmp_path / "host", empty_url, driver, env=env, ini=version_locations())
    original = released.file(FOURTH).read_text()
    BLOCKING[tamper](released)
    with pytest.raises(CommandError, match=refusal(tamper)):
        host.upgrade("heads")
    assert dump(empty_url) == before
    released.file(FOURTH).write_text(original)
    host.upgrade("heads")
    BLOCKING[tamper](released)
    there = dump(empty_url)
    with pytest.raises(CommandError, match=refusal(tamper)):
        host.downgrade("memstore@base", "memstore=downgrade")
    assert dump(empty_url) == there
    if tamper == "changed":
        host.downgrade("app@base")  # which runs none of ours
        assert host.rows("SELECT to_regclass('public.users')::text") == [(None,)]


HOST_ENV = "from memstore.migrations import host_options\n" + ENVS["asyncpg"].replace(
    "target_metadata=Base.metadata", "target_metadata=Base.metadata, **host_options()"
)


@pytest.mark.parametrize("tamper", ["changed", "missing"])
def test_nor_from_a_revision_of_a_host(released: Released, tmp_path: Path, empty_url: URL, tamper: str) -> None:
    memory = shown(4, "python", '"""Remember')
    host = Host.create(tmp_path / "host", empty_url, "psycopg", env=ENVS["psycopg"], b2_memory=memory)
    original, before = released.file(FOURTH).read_text(), dump(empty_url)
    BLOCKING[tamper](released)
    with pytest.raises(CommandError, match=refusal(tamper)):
        host.upgrade()
    assert dump(empty_url) == before
    released.file(FOURTH).write_text(original)
    host.upgrade()
    there = dump(empty_url)
    BLOCKING[tamper](released)
    with pytest.raises(CommandError, match=refusal(tamper)):
        host.downgrade("base", "memstore=downgrade")
    assert dump(empty_url) == there


async def test_two_files_of_a_revision_under_work_block(released: Released, engine: AsyncEngine) -> None:
    released.add(NEW, LAST).copy(NEW)
    forget()
    before = dump(engine.url)
    with pytest.raises(TamperError, match=f"{NEW}: inserted .*found a second file of this revision"):
        await upgrade(engine)
    assert dump(engine.url) == before


def cut_off_the_end(released: Released) -> None:
    released.unseal(LAST).change(LAST)


@pytest.mark.parametrize("tamper", [cut_off_the_end, lambda released: released.add(NEW, LAST)])
async def test_where_memstore_is_installed_nothing_is_under_work(
    installed: Released, engine: AsyncEngine, tamper: Callable[[Released], object]
) -> None:
    tamper(installed)
    before = dump(engine.url), await ledger(engine)
    with pytest.raises(TamperError) as refused:
        await downgrade(engine, REVISIONS[-2])
    with pytest.raises(TamperError):
        await upgrade(engine)
    assert "unknown" in {each.problem for each in refused.value.findings}
    assert all("pip install --force-reinstall --no-deps memstore" in each.remedy or each.problem != "unknown"
               for each in refused.value.findings)  # fmt: skip
    assert (dump(engine.url), await ledger(engine)) == before


async def test_where_memstore_is_installed_all_that_was_applied_counts(
    installed: Released, engine: AsyncEngine
) -> None:
    assert (await upgrade(engine)).steps == ()
    installed.unseal(LAST)
    await repair(engine, "the line was lost")
    assert (await upgrade(engine)).steps == ()
    await say_applied(engine, LAST)
    with pytest.raises(TamperError, match=f"{LAST}: applied_differently"):
        await upgrade(engine)


async def test_what_is_under_work_may_have_been_applied_otherwise(released: Released, engine: AsyncEngine) -> None:
    released.unseal(LAST)
    await say_applied(engine, LAST)
    assert (await upgrade(engine)).steps == ()


def remove_all(released: Released) -> None:
    for revision in REVISIONS:
        released.file(revision).unlink()


UNREADABLE: dict[str, tuple[Callable[[Released], object], str]] = {
    "none": (remove_all, "found no revision in .*/versions, needed those of memstore"),
    "one missing": (lambda r: r.file(FOURTH).unlink(), f"{FOURTH} referenced from .* is not present"),
    "one twice": (lambda r: r.add(NEW, LAST).copy(NEW), f"{NEW} is present more than once"),
    "one that is none": (lambda r: r.file("stray").write_text("x = 1\n"), "stray.py"),
    "one that is no Python": (lambda r: r.change(LAST, "def :"), "invalid syntax"),
}


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("command", ["status", "check", "sql"])
async def test_what_only_looks_says_that_the_revisions_cannot_be_read(
    released: Released, url: URL, recwarn: pytest.WarningsRecorder, case: str, command: str
) -> None:
    tamper, problem = UNREADABLE[case]
    tamper(released)
    forget()
    said = await to_thread(refused, "db", command, url=url)
    assert re.search(rf"{problem}.*Run: memstore db verify", said)
    assert [str(each.message) for each in recwarn if "Revision" in str(each.message)] == []


VERIFY = "memstore db verify"


@pytest.mark.parametrize("tamper", BLOCKING)
def test_rendered_sql_is_written_with_a_warning(released: Released, tamper: str) -> None:
    clean = memstore("db", "sql", "--to", FOURTH)
    assert (clean.returncode, clean.stderr) == (0, "")
    sealed = released.checksum(FOURTH)
    BLOCKING[tamper](released)
    forget()
    told = memstore("db", "sql", "--to", FOURTH)
    if tamper in ("missing", "inserted"):  # a script cannot be made of these, whoever accepts them
        assert told.returncode == 1
        assert VERIFY in told.stderr
    else:
        assert told.returncode == 0
        assert re.fullmatch(rf"(warning: \w+: \w+ \(.*\): found .*, needed .*\. What to do: {VERIFY}\n)+", told.stderr)
        assert f": {tamper} " in told.stderr
        assert told.stdout == clean.stdout.replace(sealed, released.checksum(FOURTH))


@pytest.mark.parametrize(("tamper", "fails"), [("changed", False), ("missing", True)])
def test_so_is_that_of_the_plain_alembic_command(released: Released, tamper: str, fails: bool) -> None:
    BLOCKING[tamper](released)
    done = run_python("-m", "alembic", "-q", "upgrade", "head", "--sql", cwd=released.folder)
    assert (done.returncode != 0) is fails
    assert f"{FOURTH}: {tamper} " in done.stderr + done.stdout
    assert VERIFY in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert ("COMMIT" in done.stdout) is not fails


@pytest.mark.parametrize("mode", [3, 4])
def test_so_is_that_of_a_host(
    released: Released, tmp_path: Path, empty_url: URL, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    if mode == 3:
        env, ini = (
            HOST_ENV.replace("context.configure(url=url", "context.configure(**host_options(), url=url"),
            version_locations(),
        )
        host = Host.create(tmp_path / "host", empty_url, "asyncpg", env=env, ini=ini)
    else:
        memory = shown(4, "python", '"""Remember')
        host = Host.create(tmp_path / "host", empty_url, "psycopg", env=ENVS["psycopg"], b2_memory=memory)
    clean = host.sql("heads")
    assert "warning" not in capsys.readouterr().err
    sealed = released.checksum(FOURTH)
    released.change(FOURTH)
    assert host.sql("heads") == clean.replace(sealed, released.checksum(FOURTH))
    assert f"warning: {FOURTH}: changed " in capsys.readouterr().err


async def test_a_revision_under_work_does_not_block(released: Released, engine: AsyncEngine) -> None:
    released.add(NEW, LAST)
    forget()
    await upgrade(engine, NEW)
    released.change(NEW)
    assert [step.revision for step in (await downgrade(engine, LAST)).steps] == [NEW]


async def test_what_only_looks_is_not_refused(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    await verify_schema(engine)
    assert (await status(engine)).current == LAST
    assert (await adopt(engine, "head")).differences == ()


@pytest.mark.usefixtures("released")
async def test_an_older_content_does_not_keep_from_the_revision_that_accepts_it(engine: AsyncEngine) -> None:
    await downgrade(engine, "0015_agent_stats")
    await say_applied(engine, FOURTH)
    await upgrade(engine, "0016_migration_repairs")
    with pytest.raises(TamperError, match=f"{FOURTH}: applied_differently"):
        await downgrade(engine, "0015_agent_stats")


async def test_what_was_taken_down_again_was_not_applied(released: Released, engine: AsyncEngine) -> None:
    await say_applied(engine, LAST)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE memstore.migration_ledger SET checksum = NULL WHERE id = 1"))
        await connection.execute(
            text(
                "INSERT INTO memstore.migration_ledger (revision, direction, checksum, package_version, duration_ms) "
                "VALUES (:revision, 'downgrade', 'x', '1', 0), (:revision, 'stamp', NULL, '1', 0), "
                "(:revision, 'upgrade', :checksum, '1', 0)"
            ),
            {"revision": LAST, "checksum": released.checksum(LAST)},
        )
    assert (await upgrade(engine)).steps == ()


async def say_applied(engine: AsyncEngine, revision: str) -> None:
    """Let the ledger say that a revision was applied with another content."""
    async with engine.begin() as connection:
        statement = "UPDATE memstore.migration_ledger SET checksum = repeat('0', 64) WHERE revision = :revision"
        await connection.execute(text(statement), {"revision": revision})


async def ledger(engine: AsyncEngine) -> list[tuple[str, str]]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT revision, direction FROM memstore.migration_ledger ORDER BY id"))
        return [(row.revision, row.direction) for row in rows]
