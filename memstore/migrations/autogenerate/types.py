"""Types of vectors and bits: their kinds and widths, and how a revision writes them."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Literal

from alembic.util import PriorityDispatchResult
from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR

from .database import database_table
from .internals import type_sql

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import AlterColumnOp
    from sqlalchemy import Column

_WATCHED = re.compile(r"(?:vector|halfvec|sparsevec|bit(?: varying)?)(?:\(\d+\))?(?:\[\])*")
_log = logging.getLogger(__name__)


def compare_type(
    context: AutogenContext,
    operation: AlterColumnOp,
    schema: str | None,
    table: str,
    name: str,
    reflected: Column[Any],
    model: Column[Any],
) -> PriorityDispatchResult:
    """Compare a type of pgvector's, or of bits, by what the server calls it: its class depends on versions."""
    column = database_table(context, schema, table).columns.get(name)
    if column is None:
        return PriorityDispatchResult.CONTINUE
    found, wanted = _normal(column.type), _normal(type_sql(model))
    if not (_WATCHED.fullmatch(found) or _WATCHED.fullmatch(wanted)):
        return PriorityDispatchResult.CONTINUE
    if found != wanted:
        operation.existing_type = reflected.type
        operation.modify_type = model.type
        _log.info("Detected type change from %s to %s on '%s.%s'", found, wanted, table, name)
    return PriorityDispatchResult.STOP


def render_item(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
    """Write a type of pgvector's with the import that it needs; False for everything else.

    For env.py's `render_item`. One that has its own calls this one for what it does not know.
    """
    if kind != "type":
        return False
    for each in (VECTOR, HALFVEC, SPARSEVEC, BIT):
        if isinstance(item, each):
            context.imports.add("import pgvector.sqlalchemy")
            width = item.length if isinstance(item, BIT) else item.dim
            return f"pgvector.sqlalchemy.{each.__name__}({'' if width is None else width})"
    return False


def _normal(type_: str) -> str:
    bare = re.sub(r"\s*([(,)])\s*", r"\1", type_.lower()).rpartition(".")[2].replace('"', "")
    return re.sub(r"^bit(?!\(| varying)", "bit(1)", bare)
