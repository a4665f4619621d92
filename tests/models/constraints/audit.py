from __future__ import annotations

from tests.models.constraints.common import (
    LARGEST_REAL,
    NEW,
    NOBODY,
    OTHER_TENANT,
    OTHER_USER,
    TAKEN,
    TENANT,
    USER,
    Row,
)

VALID: dict[str, Row] = {
    "memory_access_log": {"tenant_id": TENANT, "id": NEW, "access_type": "read"},
    "search_metrics": {
        "tenant_id": TENANT,
        "id": NEW,
        "search_type": "vector",
        "result_count": 10,
        "execution_time_ms": 1.5,
    },
}

PARENTS: list[tuple[str, Row]] = [(table, row | {"id": TAKEN}) for table, row in VALID.items()]

REFUSED: list[tuple[str, str, Row]] = [
    ("memory_access_log", "ck_memory_access_log_access_type", {"access_type": "odd"}),
    ("memory_access_log", "ck_memory_access_log_metadata_is_object", {"metadata": []}),
    ("memory_access_log", "ck_memory_access_log_processing_time_ms_not_negative", {"processing_time_ms": -0.01}),
    ("memory_access_log", "ck_memory_access_log_processing_time_ms_not_negative", {"processing_time_ms": "NaN"}),
    ("memory_access_log", "ck_memory_access_log_processing_time_ms_not_negative", {"processing_time_ms": "Infinity"}),
    ("memory_access_log", "ck_memory_access_log_results_count_not_negative", {"results_count": -1}),
    ("memory_access_log", "fk_memory_access_log_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("memory_access_log", "fk_memory_access_log_tenant_id_user_id_users", {"user_id": NOBODY}),
    ("memory_access_log", "fk_memory_access_log_tenant_id_user_id_users", {"user_id": OTHER_USER}),
    ("memory_access_log", "pk_memory_access_log", {"id": TAKEN}),
    ("search_metrics", "ck_search_metrics_execution_time_ms_not_negative", {"execution_time_ms": -0.01}),
    ("search_metrics", "ck_search_metrics_execution_time_ms_not_negative", {"execution_time_ms": "NaN"}),
    ("search_metrics", "ck_search_metrics_execution_time_ms_not_negative", {"execution_time_ms": "Infinity"}),
    ("search_metrics", "ck_search_metrics_metadata_is_object", {"metadata": []}),
    ("search_metrics", "ck_search_metrics_result_count_not_negative", {"result_count": -1}),
    ("search_metrics", "ck_search_metrics_search_type", {"search_type": "odd"}),
    ("search_metrics", "fk_search_metrics_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("search_metrics", "pk_search_metrics", {"id": TAKEN}),
]

ACCEPTED: dict[str, list[Row]] = {
    "memory_access_log": [
        {"memory_id": "deleted long ago"},
        {"processing_time_ms": 0},
        {"processing_time_ms": LARGEST_REAL},
        {"results_count": 0},
        {"tenant_id": OTHER_TENANT, "id": TAKEN},
        {"user_id": USER},
    ],
    "search_metrics": [
        {"execution_time_ms": 0},
        {"execution_time_ms": LARGEST_REAL},
        {"result_count": 0},
        {"tenant_id": OTHER_TENANT, "id": TAKEN},
    ],
}
