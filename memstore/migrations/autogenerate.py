"""How autogenerate and `check` look at a database that memstore migrates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from ..models import SCHEMA
from ..models.types import EmbeddingBits, EmbeddingVector, Vocabulary
from .scripts import revisions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations import MigrationScript
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Column
    from sqlalchemy.types import TypeEngine

MAX_REVISION_ID = 32  # alembic_version.version_num is varchar(32)
_AUTOMATIC_ID = re.compile(r"[0-9a-f]{12}")


def options(embedding_dim: int) -> dict[str, Any]:
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
        "include_schemas": True,
        "include_name": include_name,
        "compare_type": compare_type,
        "render_item": render_item,
        "process_revision_directives": number_revision,
    }


def include_name(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
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
    return False


def number_revision(_context: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
    """Give a new revision the next number and its message as id, unless an id was asked for."""
    for script in directives:
        if script.rev_id is not None and _AUTOMATIC_ID.fullmatch(script.rev_id):
            numbers = [int(match[0]) for match in (re.match(r"\d{4}", id_) for id_ in revisions()) if match]
            slug = re.sub(r"[^a-z0-9]+", "_", (script.message or "revision").lower()).strip("_")
            script.rev_id = f"{max(numbers, default=0) + 1:04d}_{slug}"[:MAX_REVISION_ID].rstrip("_")
