"""The declarative base, and what tables have in common: a tenant, a version, a user."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, FetchedValue, ForeignKey, MetaData, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from . import vocabulary
from .relations import parent
from .security import Policy, RowLevelSecurity, row_level_security
from .types import Vocabulary, now

if TYPE_CHECKING:
    from .tenancy import Tenant

SCHEMA = "memstore"

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

VOCABULARIES = [
    words
    for words in vars(vocabulary).values()
    if isinstance(words, type) and issubclass(words, StrEnum) and words is not StrEnum
]


def column_types() -> dict[Any, Any]:
    """Return the SQL types of Python's, for those that SQLAlchemy would choose otherwise."""
    vocabularies = {words: Vocabulary(words) for words in VOCABULARIES}
    return {str: Text(), datetime: DateTime(timezone=True), **vocabularies}


class Base(DeclarativeBase):
    """Every model of memstore, all in the PostgreSQL schema `memstore`."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = column_types()
    # Generated columns and triggers answer in the same round trip: under asyncio nothing may be fetched later.
    __mapper_args__ = {"eager_defaults": True}


def tenant_isolation(column: str = "tenant_id") -> dict[str, RowLevelSecurity]:
    """Return the `info` of a table whose rows are seen and written by the tenant that is set, and by no other."""
    mine = f"{column} = {SCHEMA}.current_tenant()"
    return row_level_security(Policy("tenant_isolation", using=mine, check=mine))


class TenantOwned:
    """A row that belongs to one tenant, by row level security and by its key."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)  # which maps the class, so that it has its table from here on
        table = getattr(cls, "__table__", None)
        if table is not None:
            table.info.update(tenant_isolation())

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"),
        primary_key=True,
        server_default=text("memstore.current_tenant()"),
        sort_order=-2,
    )

    @declared_attr
    @classmethod
    def tenant(cls) -> Mapped[Tenant]:
        """Relate the row to its tenant, where the attribute that leads back has the name of the table."""
        reverse: str = cls.__tablename__  # type: ignore[attr-defined]
        related: Mapped[Tenant] = parent(f"{cls.__name__}.tenant_id", "Tenant", reverse=reverse)
        return related


class UserOwned:
    """A tenant-owned row that may belong to one user of the tenant; a scope with a user sees only that user's."""

    user_id: Mapped[UUID | None] = mapped_column(sort_order=-1, comment="null: it belongs to the whole tenant")


class Created:
    """A row that knows when it was made."""

    created_at: Mapped[now] = mapped_column(sort_order=90)


class Versioned(Created):
    """A row that changes, with optimistic locking: a stale write raises `sqlalchemy.orm.exc.StaleDataError`.

    The trigger `touch` sets both columns on every UPDATE that changes something, whoever writes.
    """

    updated_at: Mapped[now] = mapped_column(server_onupdate=FetchedValue(), sort_order=91)
    version: Mapped[int] = mapped_column(server_default=text("1"), server_onupdate=FetchedValue(), sort_order=92)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {
            "eager_defaults": True,
            "version_id_col": cls.version,
            "version_id_generator": False,
        }
