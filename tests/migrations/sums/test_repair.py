from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MigrationError, PermissionDeniedError, TamperError
from memstore.migrations import downgrade, repair, status, upgrade, verify
from memstore.migrations.lock import ADVISORY_LOCK
from memstore.settings import Settings
from memstore.version import __version__
from tests.migrations.sums.released import FOURTH, LAST, NEW, REVISIONS, Released, forget
from tests.tenants import new_role

MAKES_THE_TABLE, BEFORE = "0016_migration_repairs", "0015_agent_stats"
ROWS = "SELECT revision, problem, checksum, reason, repaired_by = session_user, package_version FROM {} ORDER BY id"


async def rows(engine: AsyncEngine) -> list[tuple[object, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(ROWS.format("memstore.migration_repairs")))]


async def say(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def problems(engine: AsyncEngine) -> list[tuple[str, str]]:
    return [(each.problem, each.revision) for each in (await verify(engine)).refused]


@pytest.mark.usefixtures("released")
async def test_what_was_applied_is_verified(engine: AsyncEngine) -> None:
    found = await verify(engine)
    assert (found.revisions, found.applied, found.findings) == (len(REVISIONS), len(REVISIONS), ())
    assert found.database == engine.url.database


@pytest.mark.usefixtures("released")
async def test_a_database_without_memstore_has_applied_nothing(empty_engine: AsyncEngine) -> None:
    found = await verify(empty_engine)
    assert (found.applied, found.findings) == (0, ())


@pytest.mark.usefixtures("released")
async def test_what_was_applied_otherwise_or_by_another_memstore_is_told_apart(engine: AsyncEngine) -> None:
    said = "UPDATE memstore.migration_ledger SET {} WHERE revision = '{}'"
    await say(engine, said.format("checksum = repeat('0', 64)", FOURTH))
    await say(engine, said.format("revision = '0077_other'", REVISIONS[2]))
    await say(engine, said.format("checksum = NULL", REVISIONS[1]))
    assert sorted(await problems(engine)) == [("applied_differently", FOURTH), ("applied_unknown", "0077_other")]


async def test_a_changed_file_is_not_said_to_be_applied_otherwise(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    assert await problems(engine) == [("changed", FOURTH)]
    released.file(FOURTH).unlink()
    assert await problems(engine) == [("missing", FOURTH)]


@pytest.mark.usefixtures("released")
async def test_the_last_upgrade_counts_and_a_downgrade_ends_it(engine: AsyncEngine) -> None:
    await say(engine, f"UPDATE memstore.migration_ledger SET checksum = repeat('0', 64) WHERE revision = '{LAST}'")
    assert await problems(engine) == [("applied_differently", LAST)]
    await repair(engine, "before its release")
    await downgrade(engine, REVISIONS[-2])
    await say(engine, "DELETE FROM memstore.migration_repairs")
    assert await problems(engine) == []
    await upgrade(engine)
    assert await problems(engine) == []


@pytest.mark.usefixtures("released")
async def test_a_stamp_takes_a_revision_away(engine: AsyncEngine) -> None:
    await say(engine, f"UPDATE memstore.migration_ledger SET checksum = repeat('0', 64) WHERE revision = '{LAST}'")
    await say(engine, f"UPDATE memstore.alembic_version SET version_num = '{REVISIONS[-2]}'")
    assert await problems(engine) == []


async def test_a_revision_under_work_that_was_applied_with_an_older_content_is_told(
    released: Released, engine: AsyncEngine
) -> None:
    columns = "revision, direction, checksum, package_version, duration_ms"
    await say(
        engine,
        f"INSERT INTO memstore.migration_ledger ({columns}) VALUES ('{NEW}', 'upgrade', repeat('0', 64), '1', 0)",
    )
    released.add(NEW, LAST)
    assert await problems(engine) == [("unknown", NEW)]
    await say(engine, f"UPDATE memstore.alembic_version SET version_num = '{NEW}'")
    assert await problems(engine) == [("unknown", NEW), ("applied_differently", NEW)]


async def test_a_repair_accepts_what_is_there_and_is_recorded(released: Released, engine: AsyncEngine) -> None:
    released.insert(NEW, FOURTH)
    accepted = await repair(engine, "  a comment was corrected\n")
    assert [(each.problem, each.revision) for each in accepted] == [("changed", FOURTH), ("inserted", NEW)]
    why = ("a comment was corrected", True, __version__)
    assert await rows(engine) == [
        (FOURTH, "changed", released.checksum(FOURTH), *why),
        (NEW, "inserted", released.checksum(NEW), *why),
    ]
    found = await verify(engine)
    assert found.refused == ()
    whose = {(each.accepted.by, each.accepted.reason) for each in found.findings if each.accepted}
    assert whose == {(engine.url.username, "a comment was corrected")}
    assert len(found.findings) == 2
    assert await repair(engine, "again") == ()
    assert len(await rows(engine)) == 2


async def test_another_change_is_another_finding(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    await repair(engine, "a comment")
    await downgrade(engine, REVISIONS[-2])
    await upgrade(engine)
    original = released.file(FOURTH).read_text()
    released.change(FOURTH)
    with pytest.raises(TamperError, match=f"{FOURTH}: changed"):
        await downgrade(engine, REVISIONS[-2])
    released.file(FOURTH).write_text(original)
    released.file(LAST).write_text(released.file(LAST).read_text() + "# too\n")
    assert await problems(engine) == [("changed", LAST)]


@pytest.mark.parametrize("tamper", ["missing", "sums_edited"])
async def test_each_problem_can_be_accepted(released: Released, engine: AsyncEngine, tamper: str) -> None:
    if tamper == "missing":
        await downgrade(engine, REVISIONS[-2])
        released.file(LAST).unlink()
        forget()
    else:
        line = released.line(LAST)
        released.edit_sums(line, line[:-65] + "0" * 64 + "\n")
    await repair(engine, "so be it")
    assert [(row[1], row[2] is None) for row in await rows(engine)] == [(tamper, tamper == "missing")]
    assert await problems(engine) == []
    assert (await upgrade(engine)).steps == ()
    if tamper == "sums_edited":
        released.edit_sums("0" * 64, "1" * 64)
        assert await problems(engine) == [("sums_edited", LAST)]


HOPELESS: dict[str, tuple[Callable[[Released], object], str, str]] = {
    "one that another comes after": (lambda r: r.file(FOURTH).unlink(), f"{FOURTH}: missing", "Put it back.*reinstall"),
    "the one that the database is at": (lambda r: r.file(LAST).unlink(), f"{LAST}: missing", "Put it back.*reinstall"),
    "two files": (lambda r: r.copy(FOURTH), f"{FOURTH}: inserted", "Take the file away"),
    "two new files": (lambda r: r.add(NEW, LAST).copy(NEW), f"{NEW}: inserted", "Take the file away"),
    "another of that id": (lambda r: r.called(FOURTH, LAST), f"{FOURTH}: inserted", "Take the file away"),
    "a branch": (lambda r: r.add(NEW, FOURTH), f"{NEW}: inserted", "Take the file away"),
    "another first one": (lambda r: r.add(NEW, None), f"{NEW}: inserted", "Take the file away"),
    "one after nothing": (lambda r: r.add(NEW, "0042_gone"), f"{NEW}: inserted", "Take the file away"),
    "two joined": (lambda r: r.add(NEW, (FOURTH, LAST)), f"{NEW}: inserted", "Take the file away"),
    "a file that is none": (lambda r: r.file("stray").write_text("x = 1\n"), "stray: inserted", "Take the file away"),
}


@pytest.mark.parametrize("case", HOPELESS)
async def test_what_no_run_could_begin_with_is_not_accepted(released: Released, engine: AsyncEngine, case: str) -> None:
    tamper, finding, remedy = HOPELESS[case]
    tamper(released)
    released.change(REVISIONS[6])
    forget()
    with pytest.raises(TamperError, match=f"nothing was accepted: .*{remedy}") as refused:
        await repair(engine, "so be it")
    assert [str(each).partition(" (")[0] for each in refused.value.findings] == [finding]
    assert await rows(engine) == []
    offered = {
        f"{each.revision}: {each.problem}": "db repair" in each.remedy for each in (await verify(engine)).refused
    }
    assert offered[finding] is False
    assert offered[f"{REVISIONS[6]}: changed"] is True
    with pytest.raises(TamperError, match=finding):
        await upgrade(engine)


async def test_a_repair_of_what_no_run_can_begin_with_counts_for_nothing(
    released: Released, engine: AsyncEngine
) -> None:
    await say(
        engine,
        "INSERT INTO memstore.migration_repairs (revision, problem, reason, package_version) "
        f"VALUES ('{FOURTH}', 'missing', 'so be it', '1')",
    )
    released.file(FOURTH).unlink()
    assert await problems(engine) == [("missing", FOURTH)]
    with pytest.raises(TamperError, match=f"{FOURTH}: missing"):
        await upgrade(engine)


async def test_what_was_accepted_is_applied_and_stays_accepted(released: Released, engine: AsyncEngine) -> None:
    released.change(LAST)
    await repair(engine, "a comment")
    await downgrade(engine, REVISIONS[-2])
    await upgrade(engine)
    assert (await status(engine)).history[-1].checksum == released.checksum(LAST)
    assert await problems(engine) == []


async def test_it_stays_accepted_below_the_table(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    await repair(engine, "a comment")
    before = await rows(engine)
    await downgrade(engine, BEFORE)
    assert await problems(engine) == []
    await downgrade(engine, "base")
    await upgrade(engine, embedding_dim=4)
    assert await rows(engine) == before
    assert await problems(engine) == []


async def test_a_database_below_the_table_is_told_to_go_up_first(released: Released, engine: AsyncEngine) -> None:
    await downgrade(engine, BEFORE)
    assert await repair(engine, "nothing") == ()
    released.change(FOURTH)
    with pytest.raises(MigrationError, match=f"at {BEFORE}.* Nothing was accepted.*db upgrade {MAKES_THE_TABLE}"):
        await repair(engine, "a comment")


@pytest.mark.parametrize("reason", ["", " \n\t"])
async def test_a_reason_is_needed(released: Released, engine: AsyncEngine, reason: str) -> None:
    released.change(FOURTH)
    with pytest.raises(MigrationError, match="found an empty reason"):
        await repair(engine, reason)
    assert await rows(engine) == []


async def test_two_repairs_at_once_write_one(released: Released, url: URL, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    done = await asyncio.gather(*(repair(url, f"the {name}") for name in ("first", "second")))
    assert sorted(map(len, done)) == [0, 1]
    assert len(await rows(engine)) == 1


async def test_a_repair_waits_for_a_migration(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    async with engine.connect() as holder:
        await holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        with pytest.raises(Exception, match="no migration lock within"):
            await repair(engine, "a comment", settings=Settings(migration_wait_s=0.1))
        await holder.rollback()
        await holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
    assert await rows(engine) == []


async def test_a_role_without_the_rights_is_told(released: Released, engine: AsyncEngine) -> None:
    released.change(FOURTH)
    everything = "GRANT USAGE ON SCHEMA memstore TO {role}"
    version = "GRANT SELECT ON memstore.alembic_version TO {role}"
    reading = "GRANT SELECT ON memstore.migration_ledger TO {role}"
    more = "GRANT SELECT ON memstore.migration_repairs TO {role}"
    for grants, refusal in (
        ((everything, version), r"may not read memstore\.migration_ledger"),
        ((everything, version, reading), r"may not read memstore\.migration_repairs"),
        ((everything, version, reading, more), r"may not write to memstore\.migration_repairs. Nothing was accepted"),
    ):
        async with new_role(engine, *grants) as role:
            url = engine.url.set(username=role)
            with pytest.raises(PermissionDeniedError, match=f"role '{role}' {refusal}"):
                await repair(url, "a comment")
    assert await rows(engine) == []
