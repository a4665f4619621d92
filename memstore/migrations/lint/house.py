"""Rules of the house: what a revision says of itself, and what must be there beside it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .changes import Kind
from .finding import Problem
from .problems import problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .context import LintContext
    from .revision import Revision

LEVELS = ("reversible", "reversible_with_archive", "irreversible")
_LONGEST_ID = 32


def house(revision: Revision, context: LintContext) -> Iterator[Problem]:
    """Yield what a revision does not say of itself, or says wrongly, and what is missing beside it."""
    name = revision.id
    if name is not None and len(name) > _LONGEST_ID:
        what = f"the id {name!r} has {len(name)} characters, alembic_version takes {_LONGEST_ID}"
        yield Problem("MS402", revision.line_of("revision"), what, f"revision = {name[:_LONGEST_ID].rstrip('_')!r}")
    yield from _downgrade(revision)
    yield from _level(revision, context)
    yield from _policies(revision)
    if name is not None and context.tests is not None:
        test = context.tests / f"test_{name}.py"
        if not test.is_file():
            what = f"no test: {test} is not there"
            yield Problem("MS407", revision.line_of("revision"), what, f"{test}, which takes it up and down with rows")
    for placed in revision.placed(Kind.SEVERAL):
        what = f"{placed.change.name} statements in one op.execute"
        yield problem("MS408", placed.change, what, "an op.execute for each")
    for placed in revision.placed(Kind.TRANSACTION):
        what = f"{placed.change.sql.split()[0].upper()} in op.execute"
        yield problem("MS409", placed.change, what, "a safe operation, or with op.get_context().autocommit_block():")


def _is_empty(function: ast.FunctionDef | None) -> bool:
    return function is None or all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


def _downgrade(revision: Revision) -> Iterator[Problem]:
    up, down = (revision.functions.get(each) for each in ("upgrade", "downgrade"))
    if _is_empty(up) or not _is_empty(down) or revision.constant("level") == "irreversible":
        return
    changes = revision.changes["upgrade"]
    if changes and all(each.sql.upper().startswith("CREATE EXTENSION") for each in changes):
        return  # which stays: MS202
    line = revision.line_of("downgrade") if down is not None else revision.line_of("upgrade")
    fix = 'the way back; or level = "irreversible" and irreversible_because = "..."'
    yield Problem("MS403", line, "downgrade() does nothing, upgrade() does something", fix)


def _level(revision: Revision, context: LintContext) -> Iterator[Problem]:
    level = revision.constant("level")
    if level not in LEVELS and (level is not None or context.levels):
        found = "no level" if level is None else f"the level {level!r}"
        line = revision.line_of("level" if level is not None else "revision")
        yield Problem("MS404", line, f"{found}", f"level = one of {', '.join(map(repr, LEVELS))}")
    because = revision.constant("irreversible_because")
    if level == "irreversible" and not (isinstance(because, str) and because.strip()):
        what = "irreversible, and irreversible_because says nothing"
        yield Problem("MS405", revision.line_of("level"), what, 'irreversible_because = "..."')


def _policies(revision: Revision) -> Iterator[Problem]:
    for placed in revision.placed(Kind.CREATE_TABLE):
        change = placed.change
        if change.table is None or not any(column.name == "tenant_id" for column in change.columns):
            continue
        # A table whose name cannot be told may be this one; an operation's default schema may be another's here.
        may_be = (None, change.table.rpartition(".")[2])
        if not any((each.table and each.table.rpartition(".")[2]) in may_be for each in placed.after(Kind.POLICY)):
            what = f"{change.table} has tenant_id, and no policy"
            yield problem("MS406", change, what, f"op.enable_tenant_isolation({shown(change.table)})")
