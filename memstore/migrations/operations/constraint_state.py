"""What a constraint in the database is, and whether it is what it was asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..sql_text import escaped, literal, quoted, quoted_table
from .temporary import rolled_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations import Operations

    from .work import Work

PENDING = "memstore: not validated yet"

_PROBE = "memstore_probe"
_NOT_VALID = " NOT VALID"

_FIND = """
    SELECT convalidated, pg_get_constraintdef(oid) AS definition,
           coalesce(obj_description(oid, 'pg_constraint'), '') AS description
    FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name
"""

# In the transaction of the stamp: a script that went on after an error is not stamped either.
_CHECK = """
DO $check$
BEGIN
    IF {problem} THEN
        RAISE EXCEPTION USING MESSAGE = {message}, HINT = {hint};
    END IF;
END
$check$
"""


@dataclass(frozen=True, slots=True)
class ConstraintRequest:
    """A constraint: its name, its table, and what stands after the name in ADD CONSTRAINT."""

    name: str
    table: str
    schema: str | None
    definition: str

    @property
    def label(self) -> str:
        """The constraint, for messages."""
        return f"{self.table_sql}.{quoted(self.name)}"

    @property
    def table_sql(self) -> str:
        """The table as SQL takes it."""
        return quoted_table(self.schema, self.table)

    def add(self, definition: str | None = None, *, valid: bool = True) -> str:
        """Return the ALTER TABLE that adds it; it is for new rows alone unless `valid`."""
        suffix = "" if valid else _NOT_VALID
        return (
            f"ALTER TABLE {self.table_sql} ADD CONSTRAINT {quoted(self.name)} {definition or self.definition}{suffix}"
        )

    def drop(self) -> str:
        """Return the ALTER TABLE that drops it."""
        return f"ALTER TABLE {self.table_sql} DROP CONSTRAINT IF EXISTS {quoted(self.name)}"

    def validate(self) -> str:
        """Return the ALTER TABLE that looks at the rows which were there before it."""
        return f"ALTER TABLE {self.table_sql} VALIDATE CONSTRAINT {quoted(self.name)}"

    def comment(self, comment: str | None) -> str:
        """Return the statement that says what it is for."""
        text = "NULL" if comment is None else literal(comment)
        return f"COMMENT ON CONSTRAINT {quoted(self.name)} ON {self.table_sql} IS {text}"

    def unless_there(self, statement: str) -> str:
        """Return a statement for scripts, which have nobody to ask, that can be run again."""
        there = f"FROM pg_constraint WHERE conrelid = {literal(self.table_sql)}::regclass"
        return (
            f"DO $add$\nBEGIN\n    IF NOT EXISTS (SELECT {there} AND conname = {literal(self.name)}) THEN\n"
            f"        {statement};\n    END IF;\nEND\n$add$"
        )


@dataclass(frozen=True, slots=True)
class FoundConstraint:
    """A constraint in the database.

    is_valid: the rows that were there before it have been looked at.
    is_pending: a safe operation added it, and was killed before they had been.
    """

    is_valid: bool
    is_pending: bool
    definition: str


def find_constraint(work: Work, request: ConstraintRequest) -> FoundConstraint | None:
    """Return the constraint of that name on the table, None where there is none."""
    rows = work.execute(_FIND, {"table": request.table_sql, "name": request.name})
    if not rows:
        return None
    (row,) = rows
    return FoundConstraint(row.convalidated, row.description == PENDING, row.definition.removesuffix(_NOT_VALID))


def check_as_asked(work: Work, request: ConstraintRequest, found: FoundConstraint) -> None:
    """Compare a CHECK or UNIQUE constraint with what is asked for, by the server's own words for both.

    Raises:
        MigrationError: there is another constraint of that name.
    """
    # A condition may name its table: the probe bears that name.
    probe = ConstraintRequest(_PROBE, request.table, "pg_temp", request.definition)
    asked = probed(work, probe, {request.table: f"LIKE {request.table_sql} INCLUDING GENERATED"})
    check_same(work, request, found.definition, asked)


def check_same(work: Work, request: ConstraintRequest, found: str, asked: str) -> None:
    """Compare the definition of a constraint with the one that is asked for.

    Raises:
        MigrationError: they differ.
    """
    if found != asked:
        raise MigrationError(
            f"{work.name} {work.target}: there is a constraint of that name already, another one: {found}. "
            f"Asked for: {asked}. Choose another name, or drop it before: "
            f"op.drop_constraint_safely({request.name!r}, {request.table!r}, schema={request.schema!r})"
        )


def probed(work: Work, probe: ConstraintRequest, tables: Mapping[str, str]) -> str:
    """Return the server's words for a constraint, which is made on empty temporary tables and rolled back.

    `tables` are their names and what they are made of, in SQL.
    """
    with rolled_back(work):
        for name, content in tables.items():
            work.execute(f"CREATE TEMPORARY TABLE {quoted(name)} ({content})")
        work.execute(probe.add())
        found = find_constraint(work, probe)
    if found is None:
        raise MigrationError(f"{work.name} {work.target}: {probe.definition} made no constraint")
    return found.definition


def check_script(operations: Operations, problem: str, message: str, hint: str) -> None:
    """Let a script fail before it stamps the revision, where `problem`, in SQL, is true."""
    if operations.get_context().as_sql:
        operations.execute(escaped(_CHECK.format(problem=problem, message=literal(message), hint=literal(hint))))


def check_valid(operations: Operations, request: ConstraintRequest) -> None:
    """Let a script fail before it stamps the revision, unless the constraint is there and valid."""
    there = f"FROM pg_constraint WHERE conrelid = to_regclass({literal(request.table_sql)})"
    check_script(
        operations,
        f"NOT EXISTS (SELECT {there} AND conname = {literal(request.name)} AND convalidated)",
        f"the constraint {request.label} is not there, or not valid",
        f"mend the rows that violate it, then run: {request.validate()}",
    )
