from __future__ import annotations

from tests.models.constraints.common import (
    AGENT,
    LATER,
    NEW,
    NOBODY,
    OTHER_AGENT,
    OTHER_SESSION,
    OTHER_TENANT,
    OTHER_USER,
    SESSION,
    TENANT,
    TWIN,
    USER,
    Row,
)

PARENTS: list[tuple[str, Row]] = [
    ("agents", {"tenant_id": TENANT, "id": AGENT, "name": "Guide"}),
    ("agents", {"tenant_id": OTHER_TENANT, "id": OTHER_AGENT, "name": "Guide"}),
    ("agents", {"tenant_id": TENANT, "id": TWIN, "name": "Twin"}),
    ("agents", {"tenant_id": OTHER_TENANT, "id": TWIN, "name": "Twin"}),
    ("sessions", {"tenant_id": TENANT, "id": SESSION, "agent_id": AGENT, "expires_at": LATER}),
    ("sessions", {"tenant_id": OTHER_TENANT, "id": OTHER_SESSION, "agent_id": OTHER_AGENT, "expires_at": LATER}),
]

VALID: dict[str, Row] = {
    "agents": {"tenant_id": TENANT, "id": NEW, "name": "Critic"},
    "sessions": {"tenant_id": TENANT, "id": NEW, "agent_id": AGENT, "expires_at": LATER},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("agents", "ck_agents_capabilities_is_array", {"capabilities": {}}),
    ("agents", "ck_agents_max_tokens_not_negative", {"max_tokens": -1}),
    ("agents", "ck_agents_metadata_is_object", {"metadata": []}),
    ("agents", "ck_agents_name_not_empty", {"name": ""}),
    ("agents", "ck_agents_status", {"status": "asleep"}),
    ("agents", "ck_agents_temperature_range", {"temperature": -0.01}),
    ("agents", "ck_agents_temperature_range", {"temperature": 2.01}),
    ("agents", "ck_agents_temperature_range", {"temperature": "NaN"}),
    ("agents", "fk_agents_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("agents", "pk_agents", {"id": AGENT}),
    ("sessions", "ck_sessions_history_is_array", {"history": {}}),
    ("sessions", "ck_sessions_metadata_is_object", {"metadata": []}),
    ("sessions", "ck_sessions_status", {"status": "asleep"}),
    ("sessions", "ck_sessions_workspace_is_object", {"workspace": []}),
    ("sessions", "fk_sessions_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("sessions", "fk_sessions_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("sessions", "fk_sessions_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("sessions", "fk_sessions_tenant_id_user_id_users", {"user_id": NOBODY}),
    ("sessions", "fk_sessions_tenant_id_user_id_users", {"user_id": OTHER_USER}),
    ("sessions", "pk_sessions", {"id": SESSION}),
]

ACCEPTED: dict[str, list[Row]] = {
    "agents": [
        {"temperature": 0},
        {"temperature": 2},
        {"max_tokens": 0},
        {"name": "x"},
        {"name": "Guide"},
        {"tenant_id": OTHER_TENANT, "id": AGENT},
    ],
    "sessions": [
        {"user_id": USER},
        {"user_id": None},
        {"tenant_id": OTHER_TENANT, "id": SESSION, "agent_id": OTHER_AGENT},
    ],
}
