"""How autogenerate and `check` look at memstore's own tables, in a database that memstore migrates."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ..models import SCHEMA
from ..models.types import EmbeddingBits, EmbeddingVector, Vocabulary
from . import autogenerate
from .revision_ids import next_revision_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations import MigrationScript
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Column
    from sqlalchemy.types import TypeEngine


def own_options(embedding_dim: int) -> dict[str, Any]:
    """Return what `context.configure` needs to compare a database whose embeddings are `embedding_dim` wide."""

    def compare_type(
        _context: MigrationContext,
        _inspected: Column[Any],
        _column: Column[Any],
        inspected_type: TypeEngine[Any],
        metadata_type: TypeEngine[Any],
    ) -> bool | None:
        # Which class a bit column is reflected as depends on the versions of SQLAlchemy and pgvector, its length not.
        if isinstance(metadata_type, EmbeddingVector):
            return bool(getattr(inspected_type, "dim", None) != embedding_dim)
        if isinstance(metadata_type, EmbeddingBits):
            return int(getattr(inspected_type, "length", None) or 0) != embedding_dim
        return None

    return {
        **autogenerate.options(),
        "include_schemas": True,
        "include_name": _own_schema_only,
        "compare_type": compare_type,
        "compare_server_default": True,
        "render_item": render_item,
        "process_revision_directives": write_revisions,
    }


def _own_schema_only(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
    """Look at memstore's own schema and nothing else: the rest of the database belongs to its host."""
    return kind != "schema" or name == SCHEMA


def render_item(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
    """Write types as a revision may name them: without the models, and the width of embeddings as a question."""
    if kind == "type" and isinstance(item, EmbeddingVector):
        context.imports.add("from pgvector.sqlalchemy import VECTOR")
        return "VECTOR(op.embedding_dim())"
    if kind == "type" and isinstance(item, EmbeddingBits):
        return "postgresql.BIT(op.embedding_dim())"
    if kind == "type" and isinstance(item, Vocabulary):
        return "sa.Text()"
    return autogenerate.render_item(kind, item, context)


def write_revisions(context: MigrationContext, revision: object, directives: list[MigrationScript]) -> None:
    """Write safe operations, archive what is dropped, and number the revisions unless an id was asked for."""
    if not directives:
        return
    (script,) = directives
    message = script.message or "revision"
    numbered = autogenerate.has_automatic_id(script) or script.rev_id == next_revision_id(message)
    autogenerate.write_safely(context, revision, directives, archive=True)
    if not numbered:
        return
    for number, each in enumerate(directives):
        each.rev_id = next_revision_id(each.message or message, after=number)
    for one, other in pairwise(directives):
        other.head = str(one.rev_id)
