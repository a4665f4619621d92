"""What revisions may use as `op.*` beyond Alembic's own: each does one dangerous or repeated thing, once."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from ..errors import MigrationError
from ..models import SCHEMA


class EmbeddingDimOp(MigrateOperation):
    """The width of embeddings in the database that is being migrated."""

    @classmethod
    def embedding_dim(cls, operations: Operations) -> int:
        """Return the width of embeddings in this database, in dimensions."""
        width: int = operations.invoke(cls())
        return width


class TenantIsolationOp(MigrateOperation):
    """Row level security for a tenant-owned table."""

    def __init__(self, table: str, column: str) -> None:
        self.table = table
        self.column = column

    @classmethod
    def enable_tenant_isolation(cls, operations: Operations, table: str, *, column: str = "tenant_id") -> None:
        """Let a role that does not own `table` see and write the rows of `memstore.current_tenant()` alone."""
        operations.invoke(cls(table, column))


def register() -> None:
    """Add the operations to `alembic.op`. Calling it again changes nothing."""
    if hasattr(Operations, "embedding_dim"):
        return
    Operations.register_operation("embedding_dim")(EmbeddingDimOp)
    Operations.implementation_for(EmbeddingDimOp)(_embedding_dim)
    Operations.register_operation("enable_tenant_isolation")(TenantIsolationOp)
    Operations.implementation_for(TenantIsolationOp)(_enable_tenant_isolation)


def _embedding_dim(operations: Operations, _operation: EmbeddingDimOp) -> int:
    options = operations.get_context().opts
    if "embedding_dim" not in options:
        raise MigrationError(
            "this env.py runs memstore's revisions without its options. "
            "Add to context.configure(...): **memstore.migrations.host_options()"
        )
    width: int | None = options["embedding_dim"]
    if width is None:
        raise MigrationError(
            "the width of embeddings is needed, and without a database only you know it. "
            "Type: memstore db sql --embedding-dim N (alembic: -x embedding_dim=N)"
        )
    return width


def _enable_tenant_isolation(operations: Operations, operation: TenantIsolationOp) -> None:
    table = f"{SCHEMA}.{operation.table}"
    mine = f"{operation.column} = {SCHEMA}.current_tenant()"
    operations.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    operations.execute(f"CREATE POLICY tenant_isolation ON {table} USING ({mine}) WITH CHECK ({mine})")
