"""What an application's role may do: exactly what it needs, and nothing past its tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ..database import connecting, explained, open_connection
from ..errors import PermissionDeniedError, SchemaMismatchError
from ..models import SCHEMA, Base, EmbeddingModel, MemoryAccess, Tenant, TenantOwned, User, View

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

_ROLE = text("""
    SELECT quote_ident(:role) AS quoted, r.rolsuper OR r.rolbypassrls AS bypasses,
           pg_has_role(r.oid, n.nspowner, 'MEMBER') AS owns, pg_has_role(n.nspowner, 'USAGE') AS may_grant,
           pg_get_userbyid(n.nspowner) AS owner
    FROM pg_namespace AS n LEFT JOIN pg_roles AS r ON r.rolname = :role WHERE n.nspname = :schema
""")


async def grant(target: AsyncEngine | URL | str, role: str) -> tuple[str, ...]:
    """Grant `role` what an application needs, in one transaction, and return the statements that were run.

    It may use the tables, read the views, the revision and the width of embeddings, sign up tenants and users, and
    register embedding models; it may not delete tenants, change a registered model or the access log, see the ledger,
    or own anything, so row level security confines it to the tenant it has set. Run it again after an upgrade that adds
    tables.

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
    owned = {
        str(mapper.local_table) for mapper in Base.registry.mappers if issubclass(mapper.class_, TenantOwned | User)
    }
    trail, models = str(MemoryAccess.__table__), str(EmbeddingModel.__table__)
    full = ", ".join(sorted(owned - {trail}))
    views = ", ".join(sorted(str(mapper.local_table) for mapper in View.registry.mappers))
    return (
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {row.quoted}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {row.quoted}",
        f"GRANT SELECT ON {SCHEMA}.alembic_version, {SCHEMA}.settings TO {row.quoted}",
        f"GRANT SELECT, INSERT, UPDATE ON {SCHEMA}.{Tenant.__tablename__} TO {row.quoted}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {full} TO {row.quoted}",
        f"GRANT SELECT, INSERT ON {trail}, {models} TO {row.quoted}",
        f"GRANT SELECT ON {views} TO {row.quoted}",
    )
