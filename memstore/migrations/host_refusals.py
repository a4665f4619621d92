"""What a host's run of Alembic may not do to memstore, and what to type instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MigrationError
from .consent import CONSENT, has_consent
from .host_steps import begins_at, branches_of_the_host

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

    from .host_steps import Step


def check_consent(ours: list[Step], context: MigrationContext) -> None:
    """Refuse a downgrade that was not asked for by its name: it would take the memories with it."""
    down = [step for step in ours if step.is_downgrade]
    if down and not has_consent(context.environment_context):
        theirs = ", ".join(f"alembic downgrade {branch}@base" for branch in branches_of_the_host(context))
        raise MigrationError(
            f"this would take memstore down too, {len(down)} of its revisions, and what it holds with it. "
            f"Nothing was done. To take down your own revisions: {theirs} (or one of them). "
            f"To remove memstore: alembic {CONSENT} downgrade memstore@base"
        )


def check_in_step(recorded: str | None, current: str | None, context: MigrationContext) -> None:
    """Refuse to go on where memstore is elsewhere than the host's version table says."""
    if recorded != current:
        table = context.version_table
        raise MigrationError(
            f"memstore is at {recorded or 'nothing'} in this database, and at {current or 'nothing'} by your table "
            f"{table}: it was migrated in another way. Nothing was done. "
            f"To go on from there: alembic stamp {recorded or 'memstore@base'}"
        )


def check_stamp(recorded: str | None, claimed: str, context: MigrationContext) -> None:
    """Refuse to write down another revision than memstore is at: nothing would build what is missing any more."""
    if recorded is None:
        theirs = ", ".join(f"alembic stamp {branch}@head" for branch in branches_of_the_host(context))
        raise MigrationError(
            f"memstore is not there, and this would say that it is at {claimed}. Nothing was done. "
            f"Type: alembic upgrade memstore@head. To stamp your own revisions: {theirs}"
        )
    if recorded != claimed:
        raise MigrationError(
            f"memstore is at {recorded} in this database, and this would say that it is at {claimed}. "
            f"Nothing was done. Type: alembic stamp {recorded}"
        )


def check_not_overtaken(found: str | None, step: Step) -> None:
    """Refuse a step that was planned before another run, which was waited for, took memstore elsewhere."""
    if found != begins_at(step.info):
        raise MigrationError(
            f"another run did it meanwhile: memstore is at {found or 'nothing'} by now, and {step.short_log!r} begins "
            f"at {begins_at(step.info) or 'nothing'}. Nothing of it was done. Run the command again"
        )
