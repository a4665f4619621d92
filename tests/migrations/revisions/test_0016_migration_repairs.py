from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import PEOPLE, Case, walk

SUM = "ab" * 32
COLUMNS = "revision, problem, checksum, reason, package_version"

CASE = Case(
    revision="0016_migration_repairs",
    before=PEOPLE,
    after=(
        f"INSERT INTO memstore.migration_repairs ({COLUMNS}) SELECT '0004', 'changed', '{SUM}', 'a typo', '1' "
        "WHERE NOT EXISTS (SELECT FROM memstore.migration_repairs)",
    ),
    adds=("migration_repairs",),
    answers=(
        (f"SELECT {COLUMNS} FROM memstore.migration_repairs", [("0004", "changed", SUM, "a typo", "1")]),
        ("SELECT repaired_by = session_user, repaired_at <= now() FROM memstore.migration_repairs", [(True, True)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
