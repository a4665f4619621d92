from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, PEOPLE, Case, insert, walk

ACME, ANN = "00000000-0000-0000-0000-00000000acde", "00000000-0000-0000-0000-0000000000aa"
USERS = """
    SELECT users.external_id, kind, name, users.tenant_id = users.id FROM memstore.users
    JOIN memstore.tenants ON tenants.id = tenant_id ORDER BY 1
"""

CASE = Case(
    revision="0002_tenants_users",
    before=(insert("settings", key="colour", value='"blue"'),),
    after=(
        *PEOPLE,
        insert("tenants", id=ACME, name="Acme"),
        insert("users", id=ANN, tenant_id=ACME, auth_provider="test", external_id="ann"),
    ),
    adds=("provision_personal_tenant()", "tenants", "users"),
    answers=(
        (USERS, [("ann", "enterprise", "Acme", False), ("ines", "personal", "ines@example.com", True)]),
        (f"UPDATE memstore.users SET display_name = 'Ines' WHERE id = '{INES}' RETURNING version", [(2,)]),
        (f"DELETE FROM memstore.tenants WHERE id = '{ACME}' RETURNING name", [("Acme",)]),
        ("SELECT external_id FROM memstore.users", [("ines",)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
