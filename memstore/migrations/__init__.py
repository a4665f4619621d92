"""How the schema changes: upgrade, downgrade, status, and the environment that Alembic runs in."""

from .adopt import adopt
from .catalog import Catalog, Difference, compare_catalogs, read_catalog
from .check import SchemaCheck, check
from .grants import grant
from .host import host_options, include_name
from .ledger import AppliedStep, Step
from .nested import downgrade_to, upgrade_to
from .runner import MigrationResult, downgrade, render_sql, upgrade
from .status import MigrationStatus, status, verify_schema

__all__ = [
    "AppliedStep",
    "Catalog",
    "Difference",
    "MigrationResult",
    "MigrationStatus",
    "SchemaCheck",
    "Step",
    "adopt",
    "check",
    "compare_catalogs",
    "downgrade",
    "downgrade_to",
    "grant",
    "host_options",
    "include_name",
    "read_catalog",
    "render_sql",
    "status",
    "upgrade",
    "upgrade_to",
    "verify_schema",
]
