"""How the schema changes: upgrade, downgrade, status, and the environment that Alembic runs in."""

from .adopt import adopt
from .catalog import Catalog, Difference, compare_catalogs, read_catalog
from .check import SchemaCheck, check
from .downgrade_plan import DowngradePlan, Fate, PlannedStep, RowsAtStake, plan_downgrade
from .grants import grant
from .host import host_options, include_name
from .index_builder import IndexBuilder, WantedIndex, index_builder
from .ledger import AppliedStep, Step
from .levels import Level
from .nested import downgrade_to, upgrade_to
from .operations.archive import MovedRows
from .progress import Progress, Reporter
from .runner import MigrationResult, downgrade, render_sql, upgrade
from .status import MigrationStatus, status, verify_schema
from .sums import Acceptance, Finding, Verification, repair, verify

__all__ = [
    "Acceptance",
    "AppliedStep",
    "Catalog",
    "Difference",
    "DowngradePlan",
    "Fate",
    "Finding",
    "IndexBuilder",
    "Level",
    "MigrationResult",
    "MigrationStatus",
    "MovedRows",
    "PlannedStep",
    "Progress",
    "Reporter",
    "RowsAtStake",
    "SchemaCheck",
    "Step",
    "Verification",
    "WantedIndex",
    "adopt",
    "check",
    "compare_catalogs",
    "downgrade",
    "downgrade_to",
    "grant",
    "host_options",
    "include_name",
    "index_builder",
    "plan_downgrade",
    "read_catalog",
    "render_sql",
    "repair",
    "status",
    "upgrade",
    "upgrade_to",
    "verify",
    "verify_schema",
]
