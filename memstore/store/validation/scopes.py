"""Whose memories are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...errors import TenantScopeError
from .values import UnfitError, identity

if TYPE_CHECKING:
    from uuid import UUID


class Scope(NamedTuple):
    """A tenant, or one user of it."""

    tenant_id: UUID
    user_id: UUID | None


def checked_scope(tenant_id: UUID | str, user_id: UUID | str | None) -> Scope:
    """Return a scope.

    Raises:
        TenantScopeError: an id is not a UUID.
    """
    return Scope(_checked("tenant_id", tenant_id), None if user_id is None else _checked("user_id", user_id))


def _checked(name: str, value: UUID | str) -> UUID:
    try:
        checked: UUID = identity(value)
    except UnfitError as error:
        raise TenantScopeError(f"{name} is {error.found}. Needed: {error.needed}") from error
    return checked
