"""Adding a constraint in two steps: at once for new rows, then, beside everybody's work, for those that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, IntegrityError

from ...errors import MigrationError
from .constraint_state import PENDING, check_as_asked, find_constraint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .constraint_state import ConstraintRequest, FoundConstraint
    from .work import Work


def add_validated(
    work: Work,
    request: ConstraintRequest,
    *,
    violating: str,
    mend: str,
    tables: Sequence[str] = (),
    check: Callable[[Work, ConstraintRequest, FoundConstraint], None] = check_as_asked,
) -> None:
    """Add a constraint, and look at the rows that are there without stopping those who read and write them.

    Args:
        work: what runs it.
        request: the constraint, a CHECK or a foreign key.
        violating: what follows SELECT for the rows that violate it, from FROM on.
        mend: how to get rid of those.
        tables: those that it locks, in SQL; its own when empty.
        check: compares a constraint of that name with what is asked for.

    Raises:
        MigrationError: rows violate it, and what was added is taken away again; or there is another of that name.
    """
    if work.offline:
        work.briefly(request.unless_there(request.add(valid=False)), tables=(), phase="adding")
        work.execute(request.validate())
        return
    found = find_constraint(work, request)
    if found is not None:
        check(work, request, found)
        if found.is_valid:
            if found.is_pending:  # somebody has validated by hand what a killed run left behind
                work.execute(request.comment(None))
            work.report("there already")
            return
    elif work.inline:
        work.execute(request.add())
        return
    else:
        work.briefly(
            request.add(valid=False), request.comment(PENDING), tables=tables or (request.table_sql,), phase="adding"
        )
    is_ours = found is None or found.is_pending
    validate_rows(work, request, is_ours=is_ours, violating=violating, mend=mend, tables=tables)


def validate_rows(
    work: Work, request: ConstraintRequest, *, is_ours: bool, violating: str, mend: str, tables: Sequence[str] = ()
) -> None:
    """Look at the rows that a constraint has not looked at. It is dropped where they violate it and it `is_ours`.

    Raises:
        MigrationError: rows violate it.
    """
    statements = [request.validate()]
    if is_ours:
        statements.append(request.comment(None))
    try:
        work.patiently(
            (lambda: [work.execute(each) for each in statements])
            if work.inline
            else (lambda: work.transaction(*statements)),
            phase="looking at the rows",
        )
    except DBAPIError as error:
        if work.connection.invalidated or work.inline:
            raise
        left = _take_away(work, request, tables) if is_ours else f"It was there before, and stays: {request.label}. "
        if not isinstance(error, IntegrityError):
            raise
        raise MigrationError(
            f"{work.name} {work.target}: {_counted(work, violating)} {request.definition}. {left}"
            f"To find them: SELECT * {violating}. To mend them, {mend}"
        ) from error


def _take_away(work: Work, request: ConstraintRequest, tables: Sequence[str]) -> str:
    try:
        work.briefly(request.drop(), tables=tables or (request.table_sql,), phase="taking it away again")
    except MigrationError as busy:
        return f"It is left behind, for new rows alone, until the next run ({busy}). "
    return ""


def _counted(work: Work, violating: str) -> str:
    count = work.execute(f"SELECT count(*) {violating}")[0][0]
    if not count:
        return "rows which this role does not see, or which are gone by now, violate"
    return f"{count} rows violate" if count > 1 else "1 row violates"
