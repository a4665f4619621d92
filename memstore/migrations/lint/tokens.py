"""SQL cut into statements: what stands in strings, in dollar quotes and in comments is not looked at.

Squawk has a full parser. This is for what revisions hand to op.execute, with holes in it, which no parser takes.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<string> [eE]'(?:[^'\\]|\\.|'')*' | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*' )
    | (?P<dollar> \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<name> "(?:[^"]|"")*" )
    | (?P<word> [\w\ue000][\w$\ue000]* )
    | (?P<cast> :: )
    | (?P<other> \S )
    """,
    re.VERBOSE | re.DOTALL,
)
_ROUTINE = re.compile(r"CREATE( OR REPLACE)? (FUNCTION|PROCEDURE)\b", re.IGNORECASE)


def statements(sql: str) -> list[str]:
    """Return the statements of a text, each with single spaces, without comments, and with strings made empty."""
    return [statement for _, statement in placed_statements(sql)]


def placed_statements(sql: str) -> list[tuple[int, str]]:
    """Return the statements of a text as `statements` does, each with the place in the text where it begins."""
    found: list[tuple[int, str]] = []
    words: list[str] = []
    start = 0
    depth = 0  # of BEGIN ATOMIC and CASE, which END closes
    for match in _TOKEN.finditer(sql):
        piece = match[0]
        if match.lastgroup == "comment":
            continue
        if not words:
            start = match.start()
        if match["string"] or match["dollar"]:
            words.append("''")
            continue
        word = piece.upper() if match["word"] else piece
        if word == "ATOMIC" and words[-1:] and words[-1].upper() == "BEGIN" and _is_routine(words):
            depth = 1
        elif depth and word == "CASE":
            depth += 1
        elif depth and word == "END":
            depth -= 1
        if piece == ";" and not depth:
            found.append((start, _joined(words)))
            words = []
            continue
        words.append(piece)
    found.append((start, _joined(words)))
    return [each for each in found if each[1]]


def _is_routine(words: list[str]) -> bool:
    return bool(_ROUTINE.match(" ".join(words[:4])))


def _joined(words: list[str]) -> str:
    text = " ".join(words)
    return re.sub(r"\s*(\.|::)\s*", r"\1", text)
