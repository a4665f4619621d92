"""Pieces of SQL as text: what is in parentheses, and what a CREATE INDEX says."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_QUOTED = re.compile(r"'(?:[^']|'')*'" r'|"(?:[^"]|"")*"')
_TEXT = re.compile(r"'(?:[^']|'')*'")
_QUOTED_NAME = re.compile(r'"(?:[^"]|"")*"')
_NAME = r'(?:"(?:[^"]|"")*"|\w+)'
_PRIMARY = re.compile(rf"{_NAME}(?:\.{_NAME})*\s*")
_MODIFIERS = re.compile(
    rf"(?:\s*COLLATE\s+(?P<collation>{_NAME}(?:\.{_NAME})?))?"
    rf"(?:\s*(?!(?:ASC|DESC|NULLS)\b)(?P<opclass>{_NAME}(?:\.{_NAME})?(?:\s*\(.*\))?))?"
    r"(?:\s*(?P<direction>ASC|DESC))?(?:\s*NULLS\s+(?P<nulls>FIRST|LAST))?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an index: a column or an expression, and how it is ordered."""

    expression: str
    opclass: str | None = None
    collation: str | None = None
    descending: bool = False
    nulls_first: bool = False

    @property
    def sql(self) -> str:
        """The key as CREATE INDEX takes it."""
        parts = [self.expression]
        if self.collation:
            parts += ["COLLATE", self.collation]
        if self.opclass:
            parts.append(self.opclass)
        if self.descending:
            parts.append("DESC")
        if self.nulls_first != self.descending:
            parts.append("NULLS FIRST" if self.nulls_first else "NULLS LAST")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """What a CREATE INDEX says, but for its name and its table."""

    unique: bool
    method: str
    keys: tuple[Key, ...]
    include: tuple[str, ...]
    nulls_not_distinct: bool
    parameters: tuple[tuple[str, str], ...]
    predicate: str | None


def split_list(sql: str) -> list[str]:
    """Return the parts of a list that commas separate, those within quotes and parentheses aside."""
    parts, start, depth, place = [], 0, 0, 0
    while place < len(sql):
        if quoted := _QUOTED.match(sql, place):
            place = quoted.end()
            continue
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(sql[place], 0)
        if sql[place] == "," and not depth:
            parts.append(sql[start:place].strip())
            start = place + 1
        place += 1
    return [part for part in (*parts, sql[start:].strip()) if part]


def names_in(sql: str) -> set[str]:
    """Return the names that an expression has, of columns and of everything else, as the catalog spells them."""
    bare = _TEXT.sub(" ", sql)
    quoted = {each[1:-1].replace('""', '"') for each in _QUOTED_NAME.findall(bare)}
    return quoted | {each.lower() for each in re.findall(r"[^\W\d][\w$]*", _QUOTED_NAME.sub(" ", bare))}


def parse_opclass(sql: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the name of an operator class, without its schema and quotes, and its parameters."""
    name, _, parameters = sql.partition("(")
    listed = split_list(parameters.strip().removesuffix(")"))
    return name.rpartition(".")[2].replace('"', "").strip(), tuple(sorted(_parameter(each) for each in listed))


def parse_key(sql: str) -> Key:
    """Return a key of an index: its expression, and what follows it.

    `(body COLLATE "C")` is `body COLLATE "C"`, which is how the server prints both.
    """
    key = _parse_key(sql)
    if key.collation is None and key.expression.startswith("("):
        inner = parse_key(key.expression[1:-1].strip())
        if inner.collation is not None and inner.opclass is None:
            return replace(key, expression=inner.expression, collation=inner.collation)
    return key


def _parse_key(sql: str) -> Key:
    if sql.startswith("("):
        end = closing(sql, 0)
    else:
        name = _PRIMARY.match(sql)
        end = name.end() if name else len(sql)
        if end < len(sql) and sql[end] == "(":
            end = closing(sql, end)
    modifiers = _MODIFIERS.fullmatch(sql, end)
    if modifiers is None:  # no key that PostgreSQL would take, or one newer than this
        return Key(sql)
    descending = (modifiers["direction"] or "").upper() == "DESC"
    nulls = (modifiers["nulls"] or "").upper()
    return Key(
        sql[:end].strip(),
        modifiers["opclass"],
        modifiers["collation"],
        descending,
        nulls == "FIRST" if nulls else descending,
    )


def parse_create_index(sql: str) -> IndexDefinition:
    """Return what a CREATE INDEX says, be it SQLAlchemy's or the server's own `pg_get_indexdef`."""
    opening = _find_parenthesis(sql, 0)
    after = closing(sql, opening)
    method = re.search(r"\sUSING\s+(\w+)\s*$", sql[:opening], re.IGNORECASE)
    keys, rest = split_list(sql[opening + 1 : after - 1]), sql[after:]
    include: list[str] = []
    parameters: list[str] = []
    if found := re.match(r"\s*INCLUDE\s*(?=\()", rest, re.IGNORECASE):
        end = closing(rest, found.end())
        include, rest = split_list(rest[found.end() + 1 : end - 1]), rest[end:]
    nulls = re.match(r"\s*NULLS\s+(NOT\s+)?DISTINCT", rest, re.IGNORECASE)
    rest = rest[nulls.end() :] if nulls else rest
    if found := re.match(r"\s*WITH\s*(?=\()", rest, re.IGNORECASE):
        end = closing(rest, found.end())
        parameters, rest = split_list(rest[found.end() + 1 : end - 1]), rest[end:]
    predicate = re.match(rf"\s*(?:TABLESPACE\s+{_NAME}\s*)?WHERE\s+(.*)$", rest, re.IGNORECASE | re.DOTALL)
    return IndexDefinition(
        unique=sql.upper().startswith("CREATE UNIQUE"),
        method=method[1].lower() if method else "btree",
        keys=tuple(parse_key(key) for key in keys),
        include=tuple(include),
        nulls_not_distinct=bool(nulls and nulls[1]),
        parameters=tuple(sorted(_parameter(each) for each in parameters)),
        predicate=predicate[1].strip() if predicate else None,
    )


def _parameter(sql: str) -> tuple[str, str]:
    name, _, value = sql.partition("=")
    value = value.strip().strip("'").lower()
    return name.strip().lower(), {"true": "on", "yes": "on", "false": "off", "no": "off", "": "on"}.get(value, value)


def _find_parenthesis(sql: str, place: int) -> int:
    while sql[place] != "(":
        quoted = _QUOTED.match(sql, place)
        place = quoted.end() if quoted else place + 1
    return place


def closing(sql: str, place: int) -> int:
    """Return the place after the parenthesis that closes the one at `place`."""
    depth = 0
    while place < len(sql):
        if quoted := _QUOTED.match(sql, place):
            place = quoted.end()
            continue
        depth += {"(": 1, ")": -1}.get(sql[place], 0)
        place += 1
        if not depth:
            return place
    return len(sql)
