"""Which steps of a host's run are memstore's, and where memstore is by the host's version table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scripts import revisions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep, StampStep

    Step = RevisionStep | StampStep


def is_ours(step: MigrationInfo) -> bool:
    """Tell whether a step runs one of memstore's revisions."""
    return not step.is_stamp and not set(step.up_revision_ids).isdisjoint(revisions())


def is_first(step: MigrationInfo) -> bool:
    """Tell whether a step runs, up or down, the revision that everything begins with."""
    return step.up_revision_id == revisions()[0]


def begins_at(step: MigrationInfo) -> str | None:
    """Return where memstore has to be for a step of ours, None for nowhere yet."""
    if not step.is_upgrade:
        return step.up_revision_id
    return None if is_first(step) else revisions()[revisions().index(str(step.up_revision_id)) - 1]


def newest_of_ours(context: MigrationContext, heads: Collection[str]) -> str | None:
    """Return where memstore is, given the heads of the host's version table.

    Which need not name it: a revision of the host that depends on one of ours stands for both.
    """
    if context.script is None or not heads:
        return None
    reached = {script.revision for script in context.script.iterate_revisions(tuple(heads), "base")}
    return next((revision for revision in reversed(revisions()) if revision in reached), None)


def heads_after_stamps(heads: Collection[str], steps: Iterable[Step]) -> set[str]:
    """Return what the host's version table will say once it was stamped."""
    after = set(heads)
    for step in steps:
        if step.info.is_stamp:
            after = after.difference(step.info.source_revision_ids).union(step.info.destination_revision_ids)
    return after


def branches_of_the_host(context: MigrationContext) -> list[str]:
    """Return the host's branches: the label of each, or its first revision, which Alembic takes as well."""
    if context.script is None:
        return []
    bases = [base for base in context.script.get_bases() if base not in revisions()]
    return sorted(next(iter(sorted(context.script.get_revision(base).branch_labels)), base) for base in bases)
