from __future__ import annotations

from tests.models.constraints.common import NOBODY, OTHER_TENANT, TENANT, Row

PARENTS: list[tuple[str, Row]] = [
    ("search_statistics", {"tenant_id": OTHER_TENANT, "memories": 1, "embedded": 1, "users": {}, "sample": []}),
    ("word_statistics", {"tenant_id": TENANT, "lexeme": "taken", "documents": 1}),
]

VALID: dict[str, Row] = {
    "search_statistics": {"tenant_id": TENANT, "memories": 2, "embedded": 1},
    "word_statistics": {"tenant_id": TENANT, "lexeme": "tea", "documents": 2},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("search_statistics", "ck_search_statistics_embedded_not_negative", {"embedded": -1}),
    ("search_statistics", "ck_search_statistics_memories_not_negative", {"memories": -1}),
    ("search_statistics", "ck_search_statistics_users_is_object", {"users": []}),
    ("search_statistics", "fk_search_statistics_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("search_statistics", "pk_search_statistics", {"tenant_id": OTHER_TENANT}),
    ("word_statistics", "ck_word_statistics_documents_not_negative", {"documents": -1}),
    ("word_statistics", "fk_word_statistics_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("word_statistics", "pk_word_statistics", {"lexeme": "taken"}),
]

ACCEPTED: dict[str, list[Row]] = {
    "search_statistics": [{"memories": 0, "embedded": 0}, {"memories": 2**40}, {"sample": ["one", "two"]}],
    "word_statistics": [{"documents": 0}, {"lexeme": "taken", "tenant_id": OTHER_TENANT}, {"lexeme": ""}],
}
