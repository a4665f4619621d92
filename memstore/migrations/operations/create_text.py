"""What a CREATE statement creates, from its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import MigrationError
from ..sql_text import quoted, quoted_table

_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_BLANK = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
_HEAD = re.compile(
    rf"{_BLANK}*CREATE{_BLANK}+(?:OR{_BLANK}+REPLACE{_BLANK}+)?"
    rf"(?P<kind>FUNCTION|PROCEDURE|(?:RECURSIVE{_BLANK}+)?VIEW|(?:CONSTRAINT{_BLANK}+)?TRIGGER|POLICY){_BLANK}+"
    rf"(?:(?P<schema>{_NAME})\s*\.\s*)?(?P<name>{_NAME})(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_TABLE = re.compile(rf"{_BLANK}+(?:(?P<schema>{_NAME})\s*\.\s*)?(?P<name>{_NAME})", re.DOTALL)
_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|'(?:[^']|'')*'|(?P<tag>\$\w*\$).*?(?P=tag)|[\w$]+|.""", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class CreateText:
    """A CREATE statement.

    kind: FUNCTION, PROCEDURE, VIEW, RECURSIVE VIEW, TRIGGER, CONSTRAINT TRIGGER or POLICY.
    schema: that of the object, or of the table that it is on; None where the text names none.
    table: what a trigger or a policy is on.
    rest: what follows the name.
    """

    kind: str
    schema: str | None
    name: str
    table: str
    rest: str

    @classmethod
    def parse(cls, statement: str, *kinds: str) -> CreateText:
        """Read a statement that creates one of `kinds`.

        Raises:
            MigrationError: it does not.
        """
        found = _HEAD.match(statement)
        kind = " ".join(found["kind"].upper().split()) if found else ""
        if found is None or kind not in kinds:
            hint = ""
            if re.match(rf"{_BLANK}*CREATE\s+MATERIALIZED", statement, re.IGNORECASE | re.DOTALL):
                hint = (
                    ". A materialized view is made by a query that may take long: make another one under a new name, "
                    "with its indexes, and in a revision after that one rename the two"
                )
            beginning = " ".join(statement.split())[:60]
            raise MigrationError(f"this is not CREATE {' or '.join(kinds)} with a name: {beginning!r}{hint}")
        rest = found["rest"].rstrip().removesuffix(";").rstrip()
        schema, name, table = _plain(found["schema"]), str(_plain(found["name"])), ""
        if kind.endswith(("TRIGGER", "POLICY")):
            schema, table = _table(rest, statement)
        return cls(kind, schema, name, table, rest)

    @property
    def label(self) -> str:
        """The object as SQL takes it."""
        return quoted(self.name) if self.table else quoted_table(self.schema, self.name)

    @property
    def table_sql(self) -> str:
        """What a trigger or a policy is on, as SQL takes it."""
        return quoted_table(self.schema, self.table)

    def create(self, *, replace: bool = False, label: str | None = None) -> str:
        """Return the statement, with or without OR REPLACE, for the object or for another one."""
        return f"CREATE {'OR REPLACE ' if replace else ''}{self.kind} {label or self.label}{self.rest}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Those of a function, without their defaults."""
        texts, depth = [""], 0
        for token in _TOKEN.finditer(self.rest):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token[0], 0)
            if depth == 0 and token[0] == ")":
                break
            if depth == 1 and token[0] == ",":
                texts.append("")
            elif depth and not token[0].startswith(("--", "/*")):
                texts[-1] += token[0]
        texts[0] = texts[0].lstrip()[1:]
        bare = [
            " ".join(re.split(r"\bDEFAULT\b|:?=", each, maxsplit=1, flags=re.IGNORECASE)[0].split()) for each in texts
        ]
        return tuple(each for each in bare if each)

    @property
    def result(self) -> str:
        """What a function returns, as its text says."""
        words: list[str] = []
        for token in _TOKEN.finditer(self.rest):
            word = token[0].upper()
            if word == "RETURNS" and not words:
                words.append(word)
            elif words and word in _AFTER_RESULT:
                break
            elif words and word.strip():
                words.append(word)
        return " ".join(words)


_AFTER_RESULT = frozenset(
    {
        *("LANGUAGE", "AS", "TRANSFORM", "WINDOW", "IMMUTABLE", "STABLE", "VOLATILE", "NOT", "LEAKPROOF", "CALLED"),
        *("STRICT", "EXTERNAL", "SECURITY", "PARALLEL", "COST", "ROWS", "SUPPORT", "SET", "BEGIN", "RETURN"),
    }
)


def _table(rest: str, statement: str) -> tuple[str | None, str]:
    for token in _TOKEN.finditer(rest):
        if token[0].upper() == "ON" and (found := _TABLE.match(rest, token.end())):
            return _plain(found["schema"]), str(_plain(found["name"]))
    raise MigrationError(f"this names no table that it is on: {' '.join(statement.split())[:60]!r}")


def _plain(name: str | None) -> str | None:
    if name is None:
        return None
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
