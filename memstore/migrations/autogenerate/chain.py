"""What Alembic is about to write, as revisions that each run in one way: in one transaction, or step by step."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from alembic.operations import ops
from alembic.util import rev_id

from .columns import Tables
from .operations import RunStatements
from .safe_operations import Calls, PartOfComparison
from .split import split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.operations import MigrateOperation
    from alembic.operations.ops import MigrationScript, UpgradeOps
    from alembic.runtime.migration import MigrationContext

_AUTOMATIC_ID = re.compile(r"[0-9a-f]{12}")
_LONGEST_ID = 32  # alembic_version.version_num is varchar(32)
_log = logging.getLogger(__name__)


def write_safely(
    context: MigrationContext, _revision: object, directives: list[MigrationScript], *, archive: bool = False
) -> None:
    """Turn what changes tables in use into safe operations, and a revision of both kinds into a chain of several.

    For `process_revision_directives`, where `options()` puts it. A project with its own function calls this one in it.

    Args:
        context: given by Alembic, as the others.
        directives: the revisions to be written; they are replaced.
        archive: whether the rows of tables and columns that are dropped are kept in the schema memstore_archive.
    """
    if context.connection is None or context.dialect.name != "postgresql":
        return
    ends: dict[str | None, str] = {}
    chained: list[MigrationScript] = []
    for script in directives:
        script.head = ends.get(script.head, script.head)
        chain = list(_chain(context, script, archive=archive))
        if script.rev_id is not None and chain[-1].rev_id is not None:
            ends[script.rev_id] = chain[-1].rev_id
        chained += chain
    directives[:] = chained


def has_automatic_id(script: MigrationScript) -> bool:
    """Tell whether nobody asked for the id of a revision."""
    return script.rev_id is not None and _AUTOMATIC_ID.fullmatch(script.rev_id) is not None


def _chain(context: MigrationContext, script: MigrationScript, *, archive: bool) -> Iterator[MigrationScript]:
    upgrade = _whole(context, script)
    if upgrade is None or context.connection is None:
        yield script
        return
    parts = split(upgrade, Tables.of(upgrade, context.connection), archive=archive)
    downgrade_token = script.downgrade_ops.downgrade_token if script.downgrade_ops is not None else "downgrades"
    before = script
    for number, part in enumerate(parts, 1):
        each = script if number == 1 else _next(before, script, number)
        if number > 1:
            each.message = f"{script.message}, part {number} of {len(parts)}" if script.message else None
        each.upgrade_ops = PartOfComparison(list(_with_statements(part)), upgrade)
        undone = (operation.reverse() for operation in reversed(part))
        each.downgrade_ops = ops.DowngradeOps(list(_with_statements(undone)), downgrade_token)
        yield each
        before = each
    if len(parts) > 1:
        _log.info("Written as %d revisions: some operations commit, others share a transaction", len(parts))


def _whole(context: MigrationContext, script: MigrationScript) -> UpgradeOps | None:
    """Return what a revision is to do, None where it is to be left as it is."""
    several = [each for each in script.upgrade_ops_list if each.upgrade_token != "upgrades"]  # noqa: S105
    if several or len(script.upgrade_ops_list) != 1:
        _log.warning("Revisions for several databases at once are written with Alembic's plain operations")
        return None
    (upgrade,) = script.upgrade_ops_list
    if context.opts.get("render_as_batch"):
        return None
    return None if upgrade.is_empty() or isinstance(upgrade, PartOfComparison) else upgrade


def _next(before: MigrationScript, first: MigrationScript, number: int) -> MigrationScript:
    suffix = f"_{number}"
    automatic = first.rev_id is None or has_automatic_id(first)
    return ops.MigrationScript(
        rev_id() if automatic else f"{str(first.rev_id)[: _LONGEST_ID - len(suffix)]}{suffix}",
        ops.UpgradeOps([]),
        ops.DowngradeOps([]),
        message=first.message,
        imports=set(first.imports),
        head=before.rev_id,
        version_path=first.version_path,
    )


def _with_statements(operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
    """Yield operations, then the statements that belong to safe ones: after a plain one nothing may commit."""
    late: list[str] = []
    for operation in operations:
        yield operation
        if isinstance(operation, Calls):
            late += operation.up.statements
    if late:
        yield RunStatements(("comment",), late, ("comment",), [])
