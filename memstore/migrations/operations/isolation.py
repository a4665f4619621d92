"""Row level security for a tenant-owned table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
from ...models import SCHEMA
from ..sql_text import literal, quoted, quoted_table
from .create_text import CreateText
from .plain import PlainWork
from .replace_on_table import found_on_table, made_on_table

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = """
    SELECT attname::text FROM pg_attribute
    WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


class TenantIsolation(MigrateOperation):
    """Letting each tenant see its own rows alone."""

    @classmethod
    def enable_tenant_isolation(
        cls,
        operations: Operations,
        table: str,
        *,
        column: str = "tenant_id",
        schema: str | None = SCHEMA,
        tenant: str = f"{SCHEMA}.current_tenant()",
        policy: str = "tenant_isolation",
    ) -> None:
        """Let a role that does not own `table` see and write the rows of `tenant` alone.

        Plain: in the transaction of the revision. Readers and writers wait for an instant.

        Args:
            operations: given by Alembic.
            table: the table.
            column: its column that names the tenant.
            schema: that of the table, the first of the search path when None.
            tenant: SQL for the tenant of the session, NULL where there is none, such as
                `nullif(current_setting('app.tenant_id', true), '')::uuid`.
            policy: the name of the policy.

        Raises:
            MigrationError: there is no such table or column; there is another policy of that name; or the table is busy
                beyond the retries.
        """
        qualified = quoted_table(schema, table)
        mine = f"{quoted(column)} = {tenant}"
        work = PlainWork(operations, "enable_tenant_isolation", qualified)
        create = f"CREATE POLICY {quoted(policy)} ON {qualified} USING ({mine}) WITH CHECK ({mine})"

        def enable() -> None:
            work.execute(f"ALTER TABLE {qualified} ENABLE ROW LEVEL SECURITY")
            if work.offline or not _is_there(work, create, policy):
                work.execute(create)

        if not work.offline:
            _check_column(work, qualified, column)
        work.briefly_within(enable, table=qualified, phase="adding the policy")

    @classmethod
    def disable_tenant_isolation(
        cls,
        operations: Operations,
        table: str,
        *,
        schema: str | None = SCHEMA,
        policy: str = "tenant_isolation",
    ) -> None:
        """Let everybody who may read `table` see the rows of all tenants: the way back of `enable_tenant_isolation`.

        Row level security stays on where the table has other policies. The arguments are those of
        `enable_tenant_isolation`.

        Raises:
            MigrationError: the table is busy beyond the retries.
        """
        qualified = quoted_table(schema, table)
        work = PlainWork(operations, "disable_tenant_isolation", qualified)

        def disable() -> None:
            work.execute(f"DROP POLICY IF EXISTS {quoted(policy)} ON {qualified}")
            work.execute(
                f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = {literal(qualified)}::regclass) "
                f"THEN ALTER TABLE {qualified} DISABLE ROW LEVEL SECURITY; END IF; END $$"
            )

        work.briefly_within(disable, table=qualified, phase="dropping the policy")


def _check_column(work: PlainWork, table: str, column: str) -> None:
    columns: Sequence[str] = [row[0] for row in work.execute(_COLUMNS, {"table": table})]
    if not columns:
        raise MigrationError(f"enable_tenant_isolation: there is no table {table}. Make it first")
    if column not in columns:
        raise MigrationError(
            f"enable_tenant_isolation: {table} has no column {column}, it has: {', '.join(columns)}. "
            "Add it, or name the one that tells the tenant: column=..."
        )


def _is_there(work: PlainWork, create: str, policy: str) -> bool:
    text = CreateText.parse(create, "POLICY")
    found = found_on_table(work, text)
    if found is None:
        return False
    if found != (needed := made_on_table(work, text, "after")):
        raise MigrationError(
            f"{text.table_sql} has a policy {policy} already, another one:\n{found}\nNeeded:\n{needed}\n"
            "To exchange it: op.replace_policy(after, before=...)"
        )
    work.report("there already")
    return True
