"""memstore beside or among the revisions of a host application: what the host's env.py passes to Alembic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic import context
from alembic.util import CommandError

from ..models import SCHEMA
from ..settings import Settings, parse_embedding_dim, settings_beside_a_host
from .command_error import as_command_error
from .environment import command_options
from .host_plan import HostPlan
from .operations.archive_sql import ARCHIVE_SCHEMA
from .scripts import revisions, version_location
from .sums import check_chain

if TYPE_CHECKING:
    from collections.abc import Mapping


def include_name(name: str | None, kind: str, _parent_names: Mapping[str, str | None]) -> bool:
    """Leave memstore's schemas to memstore: for `context.configure(include_schemas=True, include_name=...)` of a host.

    Without `include_schemas` Alembic does not look there anyway. To be joined with a rule of the host's own by `and`.
    """
    return kind != "schema" or name not in (SCHEMA, ARCHIVE_SCHEMA)


def host_options(*, embedding_dim: int | None = None, settings: Settings | None = None) -> dict[str, Any]:
    """Return what a host whose `version_locations` list memstore's revisions adds to `context.configure(...)`.

    With it they run in the host's transactions, under its version table, and memstore's own version table and ledger
    follow, so that `verify_schema` and `memstore db status` hold. A downgrade that would remove memories is refused
    before it begins, unless Alembic was called with `-x memstore=downgrade`.

    Args:
        embedding_dim: width of embeddings for a database that has none yet, in dimensions. `-x embedding_dim=N` wins
            over it; when both are missing, that of the settings; when they have none either, 1024.
        settings: lock timeout and waiting; those of the environment when None.

    Raises:
        alembic.util.CommandError: `version_locations` lack memstore's revisions, or `-x embedding_dim` cannot be read.
            Later, from Alembic's run: what `upgrade` raises as a MemstoreError, and that a downgrade is refused.
    """
    command = command_options()
    if "fn" not in command:  # a command that only reads files
        return {}
    with as_command_error():
        check_chain()
    _check_version_locations()
    settings = settings or settings_beside_a_host()
    asked = context.get_x_argument(as_dictionary=True).get("embedding_dim")
    if asked is not None:
        with as_command_error():
            embedding_dim = parse_embedding_dim(str(asked), "-x embedding_dim")
    plan = HostPlan(
        HostPlan.unwrapped(command["fn"]),
        settings,
        embedding_dim=settings.embedding_dim if embedding_dim is None else embedding_dim,
    )
    return {"fn": plan, "on_version_apply": plan.record, "embedding_dim": None}


def _check_version_locations() -> None:
    """Alembic passes over a location that does not exist, and reports success."""
    found = {script.revision for script in context.script.walk_revisions()}
    if found.isdisjoint(revisions()):
        raise CommandError(
            "Alembic finds none of memstore's revisions. Add a line to version_locations in alembic.ini: "
            f"{version_location()} (and beside it path_separator = newline: with os, its colon would part it)"
        )
