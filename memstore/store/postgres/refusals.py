"""What the database refuses, by the names of its constraints."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from ...database import explain
from ...errors import (
    InvalidMemoryError,
    MemoryExistsError,
    MemstoreError,
    SchemaMismatchError,
    TenantScopeError,
    UnknownReferenceError,
    UnknownTenantError,
    UnknownUserError,
    VectorError,
)
from ..validation import no_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from ..validation import Scope

_PREFIX = "memory_nodes_"


@contextmanager
def refusals(scope: Scope, url: URL) -> Iterator[None]:
    """Turn what the database refuses into the `MemstoreError` that says why."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        refusal = _refusal(error, scope) or explain(error, url)
        if refusal is None:
            raise
        # A traceback of the driver's own error would show the row, and memories are private.
        raise refusal from (None if isinstance(error, asyncpg.IntegrityConstraintViolationError) else error)


def _refusal(error: Exception, scope: Scope) -> MemstoreError | None:
    constraint = getattr(error, "constraint_name", None) or ""
    match error:
        case asyncpg.ForeignKeyViolationError():
            return _missing(constraint, scope)
        case asyncpg.UniqueViolationError() if constraint == "pk_memory_nodes":
            return MemoryExistsError(
                "the tenant has a memory of that id already. Change that one, choose another id, or add with "
                "skip_existing"
            )
        case asyncpg.UniqueViolationError() if constraint.endswith("_key"):
            return MemoryExistsError(
                "there is a live memory of that key for that agent and user. Change that one, or delete it"
            )
        case asyncpg.CheckViolationError() if constraint.endswith("_has_text"):
            return no_text()
        case asyncpg.CheckViolationError() | asyncpg.NotNullViolationError():
            field = constraint.partition(_PREFIX)[2] or getattr(error, "column_name", None) or "memory"
            return InvalidMemoryError(f"the database refuses the memory: {field}. Correct it", field=field)
        case asyncpg.InsufficientPrivilegeError() if "row-level security" in str(error):
            return TenantScopeError(f"the database refuses the memory to tenant {scope.tenant_id}: {error}")
        case asyncpg.DataError() if widths := re.search(r"expected (\d+) dimensions, not (\d+)", str(error)):
            return wrong_width(int(widths[2]), int(widths[1]))
        case asyncpg.DataError() if widths := re.search(r"different vector dimensions (\d+) and (\d+)", str(error)):
            return wrong_width(*sorted(map(int, widths.groups()))[::-1])
        case asyncpg.UndefinedFunctionError() | asyncpg.UndefinedColumnError():
            what = str(error).splitlines()[0]
            return SchemaMismatchError(
                f"the schema is older than this version of memstore needs: {what}. Run: memstore db upgrade",
                found=None,
                needed="the newest revision",
            )
    return None


def _missing(constraint: str, scope: Scope) -> MemstoreError:
    if "agent_id" in constraint:
        return UnknownReferenceError(f"the tenant {scope.tenant_id} has no such agent. Add it first: agent_id")
    if "session_id" in constraint:
        return UnknownReferenceError(f"the tenant {scope.tenant_id} has no such session. Add it first: session_id")
    if "user_id" in constraint:
        return UnknownUserError(f"the tenant {scope.tenant_id} has no such user. Run: memstore user create")
    return UnknownTenantError(f"there is no tenant {scope.tenant_id}. Run: memstore tenant create NAME")


def wrong_width(found: int, needed: int) -> VectorError:
    """Return the error for a vector of another width than the database's."""
    return VectorError(
        f"the vector has {found} dimensions, the memories of this database have {needed}. Embed with the model that "
        "embedded the memories"
    )
