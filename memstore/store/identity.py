"""Tenants and users: making them, and finding whose memory is meant."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import Insert, Select, exists, insert, literal, select, text
from sqlalchemy.dialects import postgresql

from ..database import explained, open_connection
from ..errors import IdentityConflictError, SettingsError, UnknownTenantError, UnknownUserError
from ..models import Tenant, TenantKind, User
from .checks import check_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LOCAL = "local"
"""The auth_provider of users that were made without an identity provider; their external_id is their email."""


@dataclass(frozen=True, slots=True)
class NewTenant:
    """An organisation to be made."""

    name: str
    id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        _check_text("the name of a tenant", self.name, 255)

    def statements(self) -> tuple[Insert]:
        """Return the SQL that makes it."""
        return (insert(Tenant).inline().values(id=self.id, kind=TenantKind.ENTERPRISE, name=self.name),)


@dataclass(frozen=True, slots=True)
class NewUser:
    """A person to be made: in a tenant of their own, or in the enterprise tenant called `tenant`, made if need be."""

    email: str
    name: str | None = None
    tenant: str | None = None
    id: UUID = field(default_factory=uuid4)
    new_tenant_id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        _check_text("an email", self.email, 255)
        local, at, domain = self.email.rpartition("@")
        if not (local and at and domain) or any(character.isspace() for character in self.email):
            raise SettingsError(f"the email is {self.email!r}. Needed: an address such as ines@example.com")
        if self.name is not None:
            _check_text("the name of a user", self.name, 255)
        if self.tenant is not None:
            _check_text("the name of a tenant", self.tenant, 255)

    def statements(self) -> Sequence[Insert]:
        """Return the SQL that makes it; the same text whether it is run or printed."""
        values = {
            "id": self.id,
            "auth_provider": LOCAL,
            "external_id": self.email,
            "email": self.email,
            "display_name": self.name,
        }
        if self.tenant is None:
            return (insert(User).inline().values(values),)
        tenant = _tenants(self.tenant).scalar_subquery()
        missing = ~exists(_tenants(self.tenant))
        columns = select(literal(self.new_tenant_id), literal(TenantKind.ENTERPRISE.value), literal(self.tenant))
        return (
            insert(Tenant).from_select(["id", "kind", "name"], columns.where(missing), include_defaults=False),
            insert(User).inline().values(values | {"tenant_id": tenant}),
        )


async def create_tenant(engine: AsyncEngine, tenant: NewTenant) -> UUID:
    """Make an enterprise tenant and return its id.

    Raises:
        IdentityConflictError: there is an enterprise tenant of that name already.
    """
    async with _changing(engine) as connection:
        found = (await connection.scalars(_tenants(tenant.name))).first()
        if found is not None:
            raise IdentityConflictError(f"there is a tenant {tenant.name!r} already, its id is {found}")
        await _run(connection, tenant.statements())
    return tenant.id


async def create_user(engine: AsyncEngine, user: NewUser, *, exist_ok: bool = False) -> tuple[UUID, UUID]:
    """Make a user and, where it is new, their tenant. Return the ids of the user and of the tenant.

    With `exist_ok`, a user of that email who is there already is returned as they are.

    Raises:
        IdentityConflictError: a user of that email exists already, or several tenants have that name.
    """
    async with _changing(engine) as connection:
        known = select(User.id, User.tenant_id).where(User.auth_provider == LOCAL, User.external_id == user.email)
        found = (await connection.execute(known)).first()
        if found is not None and exist_ok:
            return found.id, found.tenant_id
        if found is not None:
            raise IdentityConflictError(f"there is a user {user.email!r} already, their id is {found.id}")
        if user.tenant is not None:
            namesakes = (await connection.scalars(_tenants(user.tenant))).all()
            if len(namesakes) > 1:
                listed = ", ".join(map(str, namesakes))
                raise IdentityConflictError(f"several tenants are called {user.tenant!r}: {listed}. Rename all but one")
        await _run(connection, user.statements())
        tenant_id = (await connection.scalars(select(User.tenant_id).where(User.id == user.id))).one()
    return user.id, tenant_id


async def tenant_of(engine: AsyncEngine, user_id: UUID) -> UUID:
    """Return the tenant that a user is in.

    Raises:
        UnknownUserError: there is no such user.
    """
    async with open_connection(engine) as connection:
        with explained(engine.url):
            # An application's role sees nobody before a tenant is set, and a person in the tenant of their own id.
            await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{user_id}'"))
            tenant_id = await connection.scalar(select(User.tenant_id).where(User.id == user_id))
    if tenant_id is None:
        raise _unknown_user(user_id)
    return tenant_id


async def check_owner(connection: AsyncConnection, tenant_id: UUID, user_id: UUID | None) -> None:
    """Check that a tenant exists, and that a user is one of theirs.

    Raises:
        UnknownTenantError, UnknownUserError: they do not; the message holds the command that makes one.
    """
    if await connection.scalar(select(Tenant.id).where(Tenant.id == tenant_id)) is None:
        raise UnknownTenantError(f"there is no tenant {tenant_id}. Run: memstore tenant create NAME")
    if user_id is not None:
        known = select(User.id).where(User.id == user_id, User.tenant_id == tenant_id)
        if await connection.scalar(known) is None:
            raise _unknown_user(user_id)


def as_sql(statements: Sequence[Insert]) -> str:
    """Return statements as a script for psql, in one transaction."""
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    dialect._backslash_escapes = False  # as on servers since 9.1; up to SQLAlchemy 2.0 it takes one to find out
    texts = [str(each.compile(dialect=dialect, compile_kwargs={"literal_binds": True})) for each in statements]
    return "\n".join(["BEGIN;", *(f"{each};" for each in texts), "COMMIT;"])


@asynccontextmanager
async def _changing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a transaction in which nobody else makes tenants or users: names are not unique, looking first must do."""
    async with open_connection(engine) as connection:
        with explained(engine.url):
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('memstore.identity', 0))"))
            yield connection
            await connection.commit()


async def _run(connection: AsyncConnection, statements: Sequence[Insert]) -> None:
    for statement in statements:
        await connection.execute(statement)


def _tenants(name: str) -> Select[Any]:
    return select(Tenant.id).where(Tenant.kind == TenantKind.ENTERPRISE, Tenant.name == name)


def _unknown_user(user_id: UUID) -> UnknownUserError:
    return UnknownUserError(f"there is no user {user_id}. Run: memstore user create --email ADDRESS")


def _check_text(what: str, value: str, longest: int) -> None:
    check_text(what, value, longest)
    if not value.strip():
        raise SettingsError(f"{what} is {value[:60]!r}. Needed: 1 to {longest} characters of text")
