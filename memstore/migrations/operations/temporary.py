"""Asking the server for its own words: what is asked about is made on temporary tables, and taken back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..sql_text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .work import Work

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"  # the role's defaults may be others

_MAY = """
    SELECT has_database_privilege(current_database(), 'TEMPORARY') AS may, current_database()::text AS database,
           current_user::text AS role
"""


def check_may_compare(work: Work) -> None:
    """Raise `MigrationError` where this role may not make temporary tables, on which things are compared."""
    (row,) = work.execute(_MAY, {})
    if not row.may:
        raise MigrationError(
            f"{work.name} {work.target}: the role {row.role} may not make temporary tables, on which what is there is "
            f"compared with what is asked for. Nothing was done. As the owner of the database: "
            f"GRANT TEMPORARY ON DATABASE {quoted(row.database)} TO {quoted(row.role)}"
        )


@contextmanager
def rolled_back(work: Work) -> Iterator[None]:
    """Run statements, temporary tables among them, and take back what they did, whoever the transaction belongs to.

    Raises:
        MigrationError: this role may not make temporary tables.
    """
    check_may_compare(work)
    begin, *end = (
        ("SAVEPOINT memstore_probe", "ROLLBACK TO memstore_probe", "RELEASE memstore_probe")
        if work.inline
        else (BEGIN, "ROLLBACK")
    )
    work.execute(begin)
    try:
        yield
    finally:
        if not work.connection.invalidated:
            for statement in end:
                work.execute(statement)
