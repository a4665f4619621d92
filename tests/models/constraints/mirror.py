from __future__ import annotations

from tests.models.constraints.common import NOBODY, OTHER_TENANT, TENANT, Row

VALID: dict[str, Row] = {
    "mirror_outbox": {"tenant_id": TENANT, "node_id": "new"},
    "mirror_rejections": {"tenant_id": TENANT, "node_id": "new", "reason": "the vector is zero"},
    "mirror_ledger": {
        "collection": "memories",
        "physical": "memories__0001",
        "revision": "0001",
        "checksum": "ab",
        "event": "building",
        "package_version": "1",
    },
}

PARENTS: list[tuple[str, Row]] = [
    ("mirror_rejections", {"tenant_id": TENANT, "node_id": "taken", "reason": "x"}),
]

REFUSED: list[tuple[str, str, Row]] = [
    ("mirror_rejections", "ck_mirror_rejections_reason_not_empty", {"reason": ""}),
    ("mirror_rejections", "fk_mirror_rejections_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("mirror_rejections", "pk_mirror_rejections", {"node_id": "taken"}),
    ("mirror_ledger", "ck_mirror_ledger_event", {"event": "odd"}),
]

ACCEPTED: dict[str, list[Row]] = {
    "mirror_outbox": [{"tenant_id": NOBODY}, {"node_id": "deleted long ago"}],
    "mirror_rejections": [{"tenant_id": OTHER_TENANT, "node_id": "taken"}, {"version": 2147483647}, {"reason": "x"}],
    "mirror_ledger": [{"revision": "x" * 32, "checksum": "ab" * 32}],
}
