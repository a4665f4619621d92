"""Telling what of a revision's imports is the project's own code."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from .finding import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .context import LintContext
    from .revision import Revision

_FROZEN = frozenset({"alembic", "sqlalchemy", "pgvector", "geoalchemy2", "alembic_utils"}) | sys.stdlib_module_names
# Of memstore a revision of any project may use what is made for revisions, and stays as it is.
_OPERATIONS = "memstore.migrations.operations"
_CALLS = frozenset({"memstore.migrations.upgrade_to", "memstore.migrations.downgrade_to"})


def imports(revision: Revision, context: LintContext) -> Iterator[Problem]:
    """Yield the imports of modules of the project itself, of its models and settings above all."""
    for node in _at_run_time(revision.module):
        for module in _modules(node):
            if _is_own(module, context):
                what = f"imports {module or 'a module beside it'}, which is not frozen with it"
                fix = "sa.table and sa.column with what this revision needs, or the constants themselves, copied"
                yield Problem("MS401", node.lineno, what, fix, node.end_lineno or node.lineno)
                break


def _at_run_time(module: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    pending: list[ast.AST] = [module]
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        return ["." * node.level + (node.module or "")]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _is_own(module: str, context: LintContext) -> bool:
    top = module.partition(".")[0]
    if not top:  # relative
        return True
    if f"{module}.".startswith(f"{_OPERATIONS}."):
        return False
    if module in _CALLS and "memstore" not in context.own:
        return False
    if top == "memstore" or top in context.own:
        return True
    if top in _FROZEN:
        return False
    return any((root / top).is_dir() or (root / f"{top}.py").is_file() for root in context.roots)
