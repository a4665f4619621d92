"""The tenant scope: a session that can only see and write one tenant's rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import with_loader_criteria

from .database import explained
from .errors import TenantScopeError
from .models import Tenant, TenantOwned, User, UserOwned, View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import ClauseElement, Connection
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, UOWTransaction


@asynccontextmanager
async def tenant_session(
    engine: AsyncEngine, tenant_id: UUID | str, user_id: UUID | str | None = None
) -> AsyncIterator[AsyncSession]:
    """Open a session in which there is one tenant, or one user of it, and nobody else.

    It is one transaction: committed when the block ends, rolled back when it raises. `memstore.tenant_id` is set with
    SET LOCAL at the start of each transaction, so a pooled connection takes nothing along to the next tenant. Row level
    security then applies to roles that do not own the tables (`memstore db grant ROLE`); for an owner, which PostgreSQL
    exempts, the session adds the tenant to each ORM query and checks each row it writes by itself. Not confined as an
    owner: SQL that is not of the ORM, INSERT from a SELECT, and the legacy `bulk_*` methods. So let applications
    connect as a role of their own. The user is narrowed by the session alone: row level security knows tenants only.

    Args:
        engine: an async engine on asyncpg, see `memstore.create_engine`.
        tenant_id: the tenant whose rows are visible, and which new rows belong to.
        user_id: narrows what belongs to users (memories, sessions, episodes, the access log) to this user's; new ones
            are the user's. What belongs to agents or to the tenant stays in sight.

    Raises:
        TenantScopeError: an id is not a UUID, or a row of another tenant or user is about to be written.
    """
    tenant, user = _uuid(tenant_id, "tenant_id"), None if user_id is None else _uuid(user_id, "user_id")
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.info.update(tenant_id=tenant, user_id=user)
        _confine(session.sync_session, tenant, user)
        with explained(engine.url, while_connecting=True):
            await session.connection()
        yield session
        await session.commit()


def scope_of(session: AsyncSession) -> tuple[UUID, UUID | None]:
    """Return the tenant and the user of a `tenant_session`.

    Raises:
        TenantScopeError: the session is not of a tenant.
    """
    if "tenant_id" not in session.info:
        raise TenantScopeError("this is done in a tenant's session. Open one: memstore.tenant_session")
    return session.info["tenant_id"], session.info["user_id"]


def _confine(session: Session, tenant: UUID, user: UUID | None) -> None:
    def set_tenant(_session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        if driver.autocommit:
            raise TenantScopeError(
                "the engine is in AUTOCOMMIT, where a tenant ends at once. Use one with transactions"
            )
        # Not set_config(): only a SET LOCAL statement reaches the workers of a Citus cluster. A parsed UUID is safe.
        connection.execute(text(f"SET LOCAL memstore.tenant_id = '{tenant}'"))

    def narrow(state: ORMExecuteState) -> None:
        criteria = [
            with_loader_criteria(TenantOwned, lambda row: row.tenant_id == tenant, include_aliases=True),
            with_loader_criteria(View, lambda row: row.tenant_id == tenant, include_aliases=True),
            with_loader_criteria(User, User.tenant_id == tenant, include_aliases=True),
            with_loader_criteria(Tenant, Tenant.id == tenant, include_aliases=True),
        ]
        if user is not None:
            criteria.append(with_loader_criteria(UserOwned, lambda row: row.user_id == user, include_aliases=True))
        if state.is_insert or state.is_update:
            _check_statement(state, tenant, user)
        if state.is_select or state.is_update or state.is_delete:
            state.statement = state.statement.options(*criteria)

    def check_rows(flushed: Session, _context: UOWTransaction, _instances: object) -> None:
        for row in (*flushed.new, *flushed.dirty, *flushed.deleted):
            if isinstance(row, UserOwned) and user is not None and row in flushed.new and row.user_id is None:
                row.user_id = user
            _check_values(type(row), vars(row), tenant, user)

    event.listen(session, "after_begin", set_tenant)
    event.listen(session, "do_orm_execute", narrow)
    event.listen(session, "before_flush", check_rows)


def _check_statement(state: ORMExecuteState, tenant: UUID, user: UUID | None) -> None:
    """Check what an INSERT or UPDATE of whole statements writes: loader criteria narrow what is read, not that."""
    if state.bind_mapper is None:
        return
    if state.parameters:
        given = state.parameters if isinstance(state.parameters, Sequence) else [state.parameters]
    else:
        # An INSERT of several rows names its parameters tenant_id_m0, tenant_id_m1, ...
        parameters = cast("ClauseElement", state.statement).compile().params.items()
        given = [{re.sub(r"_m\d+$", "", name): value} for name, value in parameters]
    model = state.bind_mapper.class_
    for values in given:
        _check_values(model, values, tenant, user)
        if state.is_insert and issubclass(model, UserOwned) and user is not None and values.get("user_id") is None:
            raise TenantScopeError(f"INSERT into {model.__name__} without user_id in a user's scope. Add user_id")


def _check_values(model: type, values: Mapping[str, Any], tenant: UUID, user: UUID | None) -> None:
    if issubclass(model, TenantOwned | User):
        _check(model, values, "tenant_id", tenant)
    if issubclass(model, Tenant):
        _check(model, values, "id", tenant)
    if issubclass(model, UserOwned) and user is not None:
        _check(model, values, "user_id", user)


def _check(model: type, values: Mapping[str, Any], attribute: str, expected: UUID) -> None:
    found = values.get(attribute)
    if found is not None and _uuid(found, attribute) != expected:
        raise TenantScopeError(
            f"a {model.__name__} with {attribute} {found} in the scope of {expected}. "
            f"Leave {attribute} out, or open the scope it belongs to"
        )


def _uuid(value: UUID | str, name: str) -> UUID:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise TenantScopeError(f"{name} is {value!r}. Needed: a UUID") from error
