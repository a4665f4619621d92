"""Autogenerate that sees what PostgreSQL and pgvector have: an Alembic plugin for the metadata of any project."""

from ...models.security import Policy, RowLevelSecurity, row_level_security
from .chain import has_automatic_id, write_safely
from .expressions import ExpressionError
from .plugin import PLUGIN, options, setup
from .types import render_item

__all__ = [
    "PLUGIN",
    "ExpressionError",
    "Policy",
    "RowLevelSecurity",
    "has_automatic_id",
    "options",
    "render_item",
    "row_level_security",
    "setup",
    "write_safely",
]
