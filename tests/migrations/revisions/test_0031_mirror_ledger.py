from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import PEOPLE, Case, walk

SUM = "ab" * 32
COLUMNS = "collection, physical, revision, checksum, event, package_version"
EVENT = f"'memories', 'memories__0001', '0001_unified_memory', '{SUM}'"

CASE = Case(
    revision="0031_mirror_ledger",
    before=PEOPLE,
    after=(
        f"INSERT INTO memstore.mirror_ledger ({COLUMNS}) SELECT {EVENT}, event, '1' FROM (VALUES ('building'), "
        "('active')) AS each (event) WHERE NOT EXISTS (SELECT FROM memstore.mirror_ledger)",
    ),
    adds=("mirror_ledger",),
    answers=(
        (
            "SELECT DISTINCT ON (collection, physical) physical, revision, checksum, event, package_version "
            "FROM memstore.mirror_ledger ORDER BY collection, physical, id DESC",
            [("memories__0001", "0001_unified_memory", SUM, "active", "1")],
        ),
        ("SELECT bool_and(recorded_by = session_user AND recorded_at <= now()) FROM memstore.mirror_ledger", [(True,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
