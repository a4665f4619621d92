"""How the schema changes: upgrade, downgrade, status, and the environment that Alembic runs in."""

from .grants import grant
from .ledger import AppliedStep, Step
from .runner import MigrationResult, downgrade, render_sql, upgrade
from .status import MigrationStatus, status, verify_schema

__all__ = [
    "AppliedStep",
    "MigrationResult",
    "MigrationStatus",
    "Step",
    "downgrade",
    "grant",
    "render_sql",
    "status",
    "upgrade",
    "verify_schema",
]
