"""What an application's role may do: exactly what it needs, and nothing past its tenant."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import text

from ..database import connecting, explained, open_connection
from ..errors import PermissionDeniedError, SchemaMismatchError
from ..models import (
    SCHEMA,
    Base,
    EmbeddingModel,
    MemoryAccess,
    MirrorOutboxEntry,
    MirrorRejection,
    SearchStatistics,
    Tenant,
    TenantOwned,
    User,
    View,
    WordStatistics,
)
from .catalog import DbObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .catalog.objects import Attributes

# What runs as the owner and for triggers alone. A role that may execute it could put it on a table of its own.
_FOR_TRIGGERS = f"{SCHEMA}.enqueue_for_mirror()"

_ROLE = text("""
    SELECT quote_ident(:role) AS quoted, r.rolsuper OR r.rolbypassrls AS bypasses,
           pg_has_role(r.oid, n.nspowner, 'MEMBER') AS owns, pg_has_role(n.nspowner, 'USAGE') AS may_grant,
           pg_get_userbyid(n.nspowner) AS owner
    FROM pg_namespace AS n LEFT JOIN pg_roles AS r ON r.rolname = :role WHERE n.nspname = :schema
""")


async def grant(target: AsyncEngine | URL | str, role: str) -> tuple[str, ...]:
    """Grant `role` what an application needs, in one transaction, and return the statements that were run.

    It may use the tables, read the views, the revision, the width of embeddings and what is not in a mirror, sign up
    tenants and users, and register embedding models; it may not delete tenants, change a registered model or
    the access log, see a ledger, or own anything, so row level security confines it to the tenant it has set. Run it
    again after an upgrade that adds tables.

    Raises:
        PermissionDeniedError: there is no such role, or row level security would not apply to it.
        SchemaMismatchError: the tables are missing.
    """
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            statements = await connection.run_sync(_statements, role)
            for statement in statements:
                await connection.execute(text(statement))
            await connection.commit()
    return statements


def _statements(connection: Connection, role: str) -> tuple[str, ...]:
    row = connection.execute(_ROLE, {"role": role, "schema": SCHEMA}).first()
    if row is None:
        raise SchemaMismatchError(
            "the tables of memstore are missing. Run: memstore db upgrade", found=None, needed="the schema memstore"
        )
    if not row.may_grant:
        raise PermissionDeniedError(f"only the owner of the schema {SCHEMA} can let others in. Connect as: {row.owner}")
    if row.bypasses is None:
        raise PermissionDeniedError(
            f"there is no role {role!r}. Run in psql: CREATE ROLE {row.quoted} LOGIN PASSWORD '...'"
        )
    if row.bypasses or row.owns:
        why = "is a superuser or has BYPASSRLS" if row.bypasses else f"owns the schema {SCHEMA}"
        raise PermissionDeniedError(
            f"role {role!r} {why}: row level security would not apply to it. Use a role of its own for the application"
        )
    grouped: dict[str, list[str]] = {}
    for on, privileges in sorted(application_rights().items()):
        kind, _, name = on.partition(" ")
        target = f"SCHEMA {name}" if kind == "schema" else name
        grouped.setdefault(", ".join(privileges), []).append(target)
    return (
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {row.quoted}",
        f"REVOKE EXECUTE ON FUNCTION {_FOR_TRIGGERS} FROM {row.quoted}",
        *(f"GRANT {privileges} ON {', '.join(names)} TO {row.quoted}" for privileges, names in grouped.items()),
    )


_ONLY_READ = (MirrorOutboxEntry, MirrorRejection, SearchStatistics, WordStatistics)


def application_rights() -> dict[str, tuple[str, ...]]:
    """Return what an application's role may do, by the object: a schema, a table or a view."""
    tenant_owned = {
        str(mapper.local_table)
        for mapper in Base.registry.mappers
        if issubclass(mapper.class_, TenantOwned | User) and mapper.class_ is not MirrorRejection
    }
    return {
        f"schema {SCHEMA}": ("USAGE",),
        **{f"table {table}": ("SELECT", "INSERT", "UPDATE", "DELETE") for table in tenant_owned},
        **{f"table {SCHEMA}.{table}": ("SELECT",) for table in ("alembic_version", "settings")},
        f"table {Tenant.__table__}": ("SELECT", "INSERT", "UPDATE"),
        f"table {MemoryAccess.__table__}": ("SELECT", "INSERT"),
        f"table {EmbeddingModel.__table__}": ("SELECT", "INSERT"),
        **{f"table {model.__table__}": ("SELECT",) for model in _ONLY_READ},
        **{f"view {mapper.local_table}": ("SELECT",) for mapper in View.registry.mappers},
    }


def expected_grants(
    found: Mapping[DbObject, Attributes], schema: Mapping[DbObject, Attributes]
) -> dict[DbObject, Attributes]:
    """Return what the roles that `found` lets in should have on the objects of `schema`.

    A role that has most of an application's rights is an application's, and should have all of them. Any other may have
    some of them, also on single columns. PUBLIC may execute functions; where it may not, an application must.
    """
    objects = {str(each): has for each, has in schema.items()}
    rights = {on: set(privileges) for on, privileges in application_rights().items() if on in objects}
    rights |= {on: {"EXECUTE"} for on in objects if on.startswith("function ") and on != f"function {_FOR_TRIGGERS}"}
    granted = {each: set(has["privileges"]) for each, has in found.items() if each.kind == "grant"}
    for_everybody = {
        each.on for each, privileges in granted.items() if each.name == "PUBLIC" and "EXECUTE" in privileges
    }
    expected = {
        each: privileges & rights.get(_table_of_column(each.on) or each.on, set())
        for each, privileges in granted.items()
        if each.name != "PUBLIC" or each.on in for_everybody
    }
    for role in _applications(granted, rights):
        for on, privileges in rights.items():
            if on not in for_everybody:
                expected[DbObject("grant", on, role)] = privileges
    return {each: {"privileges": sorted(privileges)} for each, privileges in expected.items() if privileges}


def _applications(granted: Mapping[DbObject, set[str]], rights: Mapping[str, set[str]]) -> set[str]:
    """Return the roles that have at least half of an application's rights on tables."""
    tables = {on: privileges for on, privileges in rights.items() if on.startswith("table ")}
    held: Counter[str] = Counter()
    for each, privileges in granted.items():
        held[each.name] += len(privileges & tables.get(each.on, set()))
    half = sum(map(len, tables.values())) / 2
    return {role for role, count in held.items() if role != "PUBLIC" and count >= half}


def _table_of_column(on: str) -> str | None:
    return f"table {on.removeprefix('column ').rpartition('.')[0]}" if on.startswith("column ") else None
