from __future__ import annotations

from tests.models.constraints.common import NEW, NOBODY, OTHER_TENANT, OTHER_USER, TENANT, USER, Row

PARENTS: list[tuple[str, Row]] = [
    ("tenants", {"id": TENANT, "name": "Acme", "external_id": "acme"}),
    ("tenants", {"id": OTHER_TENANT, "name": "Initech"}),
    ("users", {"tenant_id": TENANT, "id": USER, "auth_provider": "test", "external_id": "ann"}),
    ("users", {"tenant_id": OTHER_TENANT, "id": OTHER_USER, "auth_provider": "test", "external_id": "bob"}),
]

VALID: dict[str, Row] = {
    "settings": {"key": "colour", "value": "green"},
    "migration_ledger": {"revision": "0001", "direction": "upgrade", "package_version": "1", "duration_ms": 0},
    "migration_repairs": {"revision": "0001", "problem": "changed", "reason": "a typo", "package_version": "1"},
    "tenants": {"id": NEW, "name": "Hooli"},
    "users": {"tenant_id": TENANT, "id": NEW, "auth_provider": "test", "external_id": "eve"},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("settings", "pk_settings", {"key": "embedding_dim"}),
    ("migration_ledger", "ck_migration_ledger_direction", {"direction": "sideways"}),
    ("migration_ledger", "ck_migration_ledger_duration_ms_not_negative", {"duration_ms": -1}),
    ("migration_repairs", "ck_migration_repairs_problem", {"problem": "bored"}),
    ("migration_repairs", "ck_migration_repairs_reason_not_empty", {"reason": ""}),
    ("tenants", "ck_tenants_config_is_object", {"config": []}),
    ("tenants", "ck_tenants_kind", {"kind": "club"}),
    ("tenants", "ck_tenants_name_not_empty", {"name": ""}),
    ("tenants", "pk_tenants", {"id": TENANT}),
    ("tenants", "uq_tenants_external_id", {"external_id": "acme"}),
    ("users", "ck_users_auth_provider_not_empty", {"auth_provider": ""}),
    ("users", "ck_users_external_id_not_empty", {"external_id": ""}),
    ("users", "fk_users_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("users", "pk_users", {"tenant_id": OTHER_TENANT, "id": USER}),
    ("users", "uq_users_auth_provider_external_id", {"external_id": "ann"}),
    ("users", "uq_users_auth_provider_external_id", {"external_id": "bob"}),
    ("users", "uq_users_tenant_id_id", {"id": USER}),
]

ACCEPTED: dict[str, list[Row]] = {
    "settings": [{"value": 0}, {"value": []}],
    "migration_ledger": [{"duration_ms": 2147483647}],
    "migration_repairs": [{"reason": "x"}, {"checksum": "ab"}],
    "tenants": [{"external_id": None}, {"external_id": "Acme"}, {"name": "x"}, {"name": "Acme"}],
    "users": [
        {"auth_provider": "other", "external_id": "ann"},
        {"auth_provider": "x"},
        {"external_id": "x"},
    ],
}
