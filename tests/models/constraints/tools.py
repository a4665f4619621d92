from __future__ import annotations

from tests.models.constraints.common import (
    AGENT,
    NEW,
    NOBODY,
    OTHER_AGENT,
    OTHER_TENANT,
    OTHER_TOOL,
    TENANT,
    TOOL,
    TWIN,
    Row,
)

PARENTS: list[tuple[str, Row]] = [
    ("tools", {"tenant_id": TENANT, "id": TOOL, "name": "search"}),
    ("tools", {"tenant_id": OTHER_TENANT, "id": OTHER_TOOL, "name": "mail"}),
    ("tools", {"tenant_id": TENANT, "id": TWIN, "name": "twin"}),
    ("tools", {"tenant_id": OTHER_TENANT, "id": TWIN, "name": "twin"}),
    ("agent_tools", {"tenant_id": TENANT, "agent_id": TWIN, "tool_id": TWIN}),
]

VALID: dict[str, Row] = {
    "tools": {"tenant_id": TENANT, "id": NEW, "name": "browse"},
    "agent_tools": {"tenant_id": TENANT, "agent_id": AGENT, "tool_id": TOOL},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("tools", "ck_tools_cost_per_call_not_negative", {"cost_per_call": -0.000001}),
    ("tools", "ck_tools_cost_per_call_not_negative", {"cost_per_call": "NaN"}),
    ("tools", "ck_tools_examples_is_array", {"examples": {}}),
    ("tools", "ck_tools_input_schema_is_object", {"input_schema": []}),
    ("tools", "ck_tools_metadata_is_object", {"metadata": []}),
    ("tools", "ck_tools_name_not_empty", {"name": ""}),
    ("tools", "ck_tools_output_schema_is_object", {"output_schema": []}),
    ("tools", "ck_tools_retry_config_is_object", {"retry_config": []}),
    ("tools", "ck_tools_status", {"status": "odd"}),
    ("tools", "ck_tools_tags_is_array", {"tags": {}}),
    ("tools", "ck_tools_timeout_seconds_range", {"timeout_seconds": 0}),
    ("tools", "ck_tools_timeout_seconds_range", {"timeout_seconds": 86_401}),
    ("tools", "fk_tools_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("tools", "pk_tools", {"id": TOOL}),
    ("tools", "uq_tools_tenant_id_name", {"name": "search"}),
    ("agent_tools", "ck_agent_tools_config_is_object", {"config": []}),
    ("agent_tools", "fk_agent_tools_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("agent_tools", "fk_agent_tools_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("agent_tools", "fk_agent_tools_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("agent_tools", "fk_agent_tools_tenant_id_tool_id_tools", {"tool_id": NOBODY}),
    ("agent_tools", "fk_agent_tools_tenant_id_tool_id_tools", {"tool_id": OTHER_TOOL}),
    ("agent_tools", "pk_agent_tools", {"agent_id": TWIN, "tool_id": TWIN}),
]

ACCEPTED: dict[str, list[Row]] = {
    "tools": [
        {"cost_per_call": 0},
        {"cost_per_call": "9999.999999"},
        {"cost_per_call": None},
        {"name": "x"},
        {"name": "Search"},
        {"name": "mail"},
        {"tenant_id": OTHER_TENANT, "id": TOOL, "name": "search"},
        {"timeout_seconds": 1},
        {"timeout_seconds": 86_400},
    ],
    "agent_tools": [
        {"agent_id": TWIN},
        {"tool_id": TWIN},
        {"tenant_id": OTHER_TENANT, "agent_id": TWIN, "tool_id": TWIN},
    ],
}
