"""Silencing a finding by a comment with a reason: `# lint: MS102 because the table has a row for each release`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass

_COMMENT = re.compile(
    r"#\s*lint:\s*(?P<codes>\w[\w-]*(?:\s*,\s*\w[\w-]*)*)(?:\s+because\b(?P<reason>.*?)(?=#\s*lint:|$))?"
)


@dataclass(frozen=True, slots=True)
class Silence:
    """A code that is silent on some lines, or (None) in the whole revision; `line` is where that is written."""

    code: str
    line: int
    reason: str
    lines: frozenset[int] | None


def silences(source: str, module: ast.Module) -> list[Silence]:
    """Return what the comments of a revision silence.

    A comment after code counts for its line, and on that of `with op.batch_alter_table(...)` for what is within; one on
    a line of its own for the next line of code, or, before the first statement of the module but for its docstring, for
    the whole revision.
    """
    rest = module.body[1:] if ast.get_docstring(module) is not None else module.body
    first = rest[0].lineno if rest else len(source.splitlines()) + 1
    lines = source.splitlines()
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        alone = not lines[line - 1][: token.start[1]].strip()
        on = frozenset({line, _next_code(lines, line)}) if alone else frozenset({line})
        whole = alone and line < first
        for match in _COMMENT.finditer(token.string):  # which may come after one for another program
            for code in re.split(r"\s*,\s*", match["codes"]):
                found.append(Silence(code, line, (match["reason"] or "").strip(), None if whole else on))
    return found


def _next_code(lines: list[str], line: int) -> int:
    while line < len(lines) and (not lines[line].strip() or lines[line].lstrip().startswith("#")):
        line += 1
    return line + 1
