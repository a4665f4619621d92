"""Tenants and users: the directory that every other table points to.

Serves: signing in (a user by provider and external id), and the composite keys that keep tenants apart.
Cost: new tables only.
Refused: a nullable users.tenant_id for private persons (each policy and key would need a second case): they get a
tenant of their own, with their id, from a trigger.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_tenants_users"
down_revision = "0001_foundation"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

NOW = sa.text("now()")
UUID_DEFAULT = sa.text("gen_random_uuid()")

# Also where the user names the tenant that a personal user would get: an application, which may only write within the
# tenant it has set, signs a person up by setting the new id first.
PROVISION_PERSONAL_TENANT = """
CREATE FUNCTION memstore.provision_personal_tenant() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.tenant_id := coalesce(NEW.tenant_id, NEW.id);
    IF NEW.tenant_id = NEW.id THEN
        INSERT INTO memstore.tenants (id, kind, name)
        VALUES (NEW.id, 'personal', coalesce(nullif(NEW.display_name, ''), nullif(NEW.email, ''), NEW.external_id))
        ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("kind", sa.Text(), server_default="enterprise", nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("external_id", sa.String(255), comment="the identity provider's id of this tenant"),
        sa.Column(
            "config",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="settings of this tenant, free-form",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("external_id", name="uq_tenants_external_id"),
        sa.CheckConstraint("kind IN ('personal', 'enterprise')", name=op.f("ck_tenants_kind")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_tenants_name_not_empty")),
        sa.CheckConstraint("jsonb_typeof(config) = 'object'", name=op.f("ck_tenants_config_is_object")),
        schema="memstore",
        comment="organisations, and the private space of each person",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=UUID_DEFAULT, nullable=False),
        sa.Column("tenant_id", sa.Uuid(), server_default=sa.text("memstore.current_tenant()"), nullable=False),
        sa.Column(
            "auth_provider",
            sa.String(50),
            nullable=False,
            comment="who vouches for this person, such as 'local' or 'google'",
        ),
        sa.Column("external_id", sa.String(255), nullable=False, comment="the identity provider's id of this person"),
        sa.Column("email", sa.String(320)),
        sa.Column("display_name", sa.String(255)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("auth_provider", "external_id", name="uq_users_auth_provider_external_id"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_users_tenant_id_id"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_users_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint("auth_provider <> ''", name=op.f("ck_users_auth_provider_not_empty")),
        sa.CheckConstraint("external_id <> ''", name=op.f("ck_users_external_id_not_empty")),
        schema="memstore",
        comment="people, each in one tenant; inserted without a tenant, a user gets a personal one",
    )
    for table in ("tenants", "users"):
        op.execute(
            f"CREATE TRIGGER touch BEFORE UPDATE ON memstore.{table} FOR EACH ROW "
            "WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION memstore.touch()"
        )
    op.enable_tenant_isolation("tenants", column="id")
    op.enable_tenant_isolation("users")
    op.execute(PROVISION_PERSONAL_TENANT)
    op.execute(
        "COMMENT ON FUNCTION memstore.provision_personal_tenant() IS "
        "'gives a user without a tenant a personal one, of the same id'"
    )
    op.execute(
        "CREATE TRIGGER provision_personal_tenant BEFORE INSERT ON memstore.users FOR EACH ROW "
        "WHEN (NEW.tenant_id IS NULL OR NEW.tenant_id = NEW.id) "
        "EXECUTE FUNCTION memstore.provision_personal_tenant()"
    )
    for table in ("tenants", "users"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for table in ("users", "tenants"):
        op.archive_table(table, schema="memstore")
    op.drop_table("users", schema="memstore")
    op.execute("DROP FUNCTION memstore.provision_personal_tenant()")
    op.drop_table("tenants", schema="memstore")
