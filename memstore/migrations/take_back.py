"""Taking back a step that was killed on its way, before a run that does not go on with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic.runtime.migration import RevisionStep
from alembic.script import Script
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

from ..errors import MigrationError
from . import unfinished
from .levels import Level, level_of
from .operations.backfill import Backfill
from .operations.constraints import SafeConstraints
from .operations.embedding_width import EmbeddingWidthChange
from .operations.foreign_keys import SafeForeignKeys
from .operations.indexes import ConcurrentIndexes
from .operations.not_null import SafeNotNull
from .operations.unique import SafeUniqueConstraints
from .proxies import nothing_but

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations import MigrateOperation
    from alembic.runtime.migration import MigrationContext, MigrationStep

    from .unfinished import Unfinished

log = logging.getLogger("memstore.migrations")

_THAT_COMMIT: tuple[type[MigrateOperation], ...] = (
    Backfill,
    ConcurrentIndexes,
    EmbeddingWidthChange,
    SafeConstraints,
    SafeForeignKeys,
    SafeNotNull,
    SafeUniqueConstraints,
)
# What commits, and what a revision asks.
_KEPT = {"embedding_dim", "f"} | {
    name
    for group in _THAT_COMMIT
    for name, member in vars(group).items()
    if isinstance(member, classmethod) and not name.startswith("_")
}


def take_back(context: MigrationContext, steps: Sequence[MigrationStep]) -> None:
    """Undo what a killed step has committed, unless `steps` begin with it, in the direction that it had.

    Its other direction is run without the plain operations, which share a transaction with the stamp: that was never
    committed, so that they are as they were. No row is lost by it that was not to be lost already.

    Raises:
        MigrationError: another version of memstore began it, it cannot be undone, or the transaction is not ours.
    """
    begun = unfinished.read(None if context.as_sql else context.connection)
    first = steps[0] if steps else None
    if begun is None or _is(begun, first) or any(not isinstance(each, RevisionStep) for each in steps):
        return
    script = _script(context, begun)
    way = "upgrade" if begun.upward else "downgrade"
    if script is None:
        if steps:
            raise MigrationError(
                f"another version of memstore began the {way} of {begun.revision}, and was interrupted. "
                f"Nothing was done. Let that version end it: memstore db {way}"
            )
        return
    if context.opts.get("callers_transaction"):
        raise MigrationError(
            f"the {way} of {begun.revision} was interrupted, and in your transaction it cannot be taken back. "
            "Nothing was done. Run before: memstore db upgrade"
        )
    if begun.upward and level_of(script) is Level.IRREVERSIBLE:
        raise MigrationError(
            f"the upgrade of {begun.revision} was interrupted, and it is irreversible. Nothing was done. "
            "To go on with it: memstore db upgrade"
        )
    log.info("taking back the interrupted %s of %s", way, begun.revision)
    with context.begin_transaction(_per_migration=True), nothing_but(_KEPT):
        getattr(script.module, "downgrade" if begun.upward else "upgrade")()
        unfinished.forget(context.connection)


def _is(begun: Unfinished, step: MigrationStep | None) -> bool:
    return (
        isinstance(step, RevisionStep) and step.revision.revision == begun.revision and step.is_upgrade == begun.upward
    )


def _script(context: MigrationContext, begun: Unfinished) -> Script | None:
    environment = context.environment_context
    if environment is None:
        return None
    try:
        script = environment.script.get_revision(begun.revision)
    except (CommandError, ResolutionError):
        return None
    return script if isinstance(script, Script) else None
