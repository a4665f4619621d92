from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, Case, insert, walk

CASE = Case(
    revision="0001_foundation",
    before=(
        "CREATE TABLE public.theirs (id integer, note text)",
        "INSERT INTO public.theirs VALUES (1, 'one'), (2, NULL)",
    ),
    after=(insert("settings", key="colour", value='"blue"'),),
    adds=("alembic_version", "current_tenant()", "migration_ledger", "settings", "touch()"),
    answers=(
        ("SELECT key, value FROM memstore.settings ORDER BY key", [("colour", "blue"), ("embedding_dim", 4)]),
        ("SELECT revision, direction FROM memstore.migration_ledger", [("0001_foundation", "upgrade")]),
        ("SELECT memstore.current_tenant()::text", [(INES,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
