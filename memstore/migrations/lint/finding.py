"""What the linter says: a rule, and a place where a revision breaks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """What revisions are asked to keep to: a stable code, a name for it, and why."""

    code: str
    slug: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A place where a revision breaks a rule: what was found, why that is bad, and what to type instead."""

    code: str
    slug: str
    path: str
    line: int
    revision: str | None
    message: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding on its way: where in the file, without what the file and the rule add to it.

    `end` is the last line of the statement, `first` the first line of the one around it, and `around` are the lines of
    the `with op.batch_alter_table(...)` that it is in: a silence stands on any. Without `end`, it is of the revision or
    of one of its functions, whatever the statement.
    """

    code: str
    line: int
    message: str
    fix: str
    end: int = 0
    first: int = 0
    around: tuple[int, ...] = ()
