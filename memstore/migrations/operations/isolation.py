"""Row level security for a tenant-owned table."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from ...models import SCHEMA


class TenantIsolation(MigrateOperation):
    """Letting each tenant see its own rows alone."""

    @classmethod
    def enable_tenant_isolation(cls, operations: Operations, table: str, *, column: str = "tenant_id") -> None:
        """Let a role that does not own `table` see and write the rows of `memstore.current_tenant()` alone."""
        qualified = f"{SCHEMA}.{table}"
        mine = f"{column} = {SCHEMA}.current_tenant()"
        operations.execute(f"ALTER TABLE {qualified} ENABLE ROW LEVEL SECURITY")
        operations.execute(f"CREATE POLICY tenant_isolation ON {qualified} USING ({mine}) WITH CHECK ({mine})")
