from __future__ import annotations

from tests.models.constraints.common import (
    ACTIVITY,
    AGENT,
    NEW,
    NOBODY,
    OTHER_ACTIVITY,
    OTHER_AGENT,
    OTHER_SESSION,
    OTHER_TENANT,
    SESSION,
    TAKEN,
    TENANT,
    Row,
)

SCORES = ("score", "effectiveness_score", "efficiency_score", "robustness_score", "safety_score")

VALID: dict[str, Row] = {
    "activities": {"tenant_id": TENANT, "id": NEW, "action": "answer"},
    "metrics": {"tenant_id": TENANT, "id": NEW, "metric_name": "latency", "metric_type": "gauge", "value": 1},
    "evaluations": {"tenant_id": TENANT, "id": NEW, "evaluator_type": "rule"},
    "feedback": {"tenant_id": TENANT, "id": NEW, "feedback_type": "bug"},
}

PARENTS: list[tuple[str, Row]] = [
    ("activities", {"tenant_id": TENANT, "id": ACTIVITY, "action": "answer"}),
    ("activities", {"tenant_id": OTHER_TENANT, "id": OTHER_ACTIVITY, "action": "answer"}),
    *((table, VALID[table] | {"id": TAKEN}) for table in ("metrics", "evaluations", "feedback")),
]

REFUSED: list[tuple[str, str, Row]] = [
    ("activities", "ck_activities_action_not_empty", {"action": ""}),
    ("activities", "ck_activities_cost_not_negative", {"cost": -0.000001}),
    ("activities", "ck_activities_cost_not_negative", {"cost": "NaN"}),
    ("activities", "ck_activities_duration_ms_not_negative", {"duration_ms": -1}),
    ("activities", "ck_activities_metadata_is_object", {"metadata": []}),
    ("activities", "ck_activities_status", {"status": "odd"}),
    ("activities", "ck_activities_token_count_not_negative", {"token_count": -1}),
    ("activities", "ck_activities_tools_used_is_array", {"tools_used": {}}),
    ("activities", "fk_activities_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("activities", "fk_activities_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("activities", "fk_activities_tenant_id_session_id_sessions", {"session_id": NOBODY}),
    ("activities", "fk_activities_tenant_id_session_id_sessions", {"session_id": OTHER_SESSION}),
    ("activities", "fk_activities_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("activities", "pk_activities", {"id": ACTIVITY}),
    ("metrics", "ck_metrics_labels_is_object", {"labels": []}),
    ("metrics", "ck_metrics_metric_name_not_empty", {"metric_name": ""}),
    ("metrics", "ck_metrics_metric_type", {"metric_type": "odd"}),
    ("metrics", "ck_metrics_value_is_number", {"value": "NaN"}),
    ("metrics", "fk_metrics_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("metrics", "fk_metrics_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("metrics", "fk_metrics_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("metrics", "pk_metrics", {"id": TAKEN}),
    ("evaluations", "ck_evaluations_cost_not_negative", {"cost": -0.000001}),
    ("evaluations", "ck_evaluations_cost_not_negative", {"cost": "NaN"}),
    ("evaluations", "ck_evaluations_details_is_object", {"details": []}),
    ("evaluations", "ck_evaluations_duration_ms_not_negative", {"duration_ms": -1}),
    ("evaluations", "ck_evaluations_evaluator_type_not_empty", {"evaluator_type": ""}),
    *(
        ("evaluations", f"ck_evaluations_{score}_range", {score: value})
        for score in SCORES
        for value in (-0.0001, 1.0001, "NaN")
    ),
    ("evaluations", "ck_evaluations_token_count_not_negative", {"token_count": -1}),
    ("evaluations", "fk_evaluations_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("evaluations", "fk_evaluations_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("evaluations", "fk_evaluations_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("evaluations", "pk_evaluations", {"id": TAKEN}),
    ("feedback", "ck_feedback_feedback_type_not_empty", {"feedback_type": ""}),
    ("feedback", "ck_feedback_metadata_is_object", {"metadata": []}),
    ("feedback", "ck_feedback_severity", {"severity": "odd"}),
    ("feedback", "ck_feedback_status", {"status": "odd"}),
    ("feedback", "ck_feedback_tags_is_array", {"tags": {}}),
    ("feedback", "fk_feedback_tenant_id_activity_id_activities", {"activity_id": NOBODY}),
    ("feedback", "fk_feedback_tenant_id_activity_id_activities", {"activity_id": OTHER_ACTIVITY}),
    ("feedback", "fk_feedback_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("feedback", "fk_feedback_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("feedback", "fk_feedback_tenant_id_session_id_sessions", {"session_id": NOBODY}),
    ("feedback", "fk_feedback_tenant_id_session_id_sessions", {"session_id": OTHER_SESSION}),
    ("feedback", "fk_feedback_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("feedback", "pk_feedback", {"id": TAKEN}),
]

ACCEPTED: dict[str, list[Row]] = {
    "activities": [
        {"action": "x"},
        {"agent_id": AGENT, "session_id": SESSION},
        {"cost": 0},
        {"cost": "9999.999999"},
        {"duration_ms": 0},
        {"input": "any JSON", "output": 42},
        {"tenant_id": OTHER_TENANT, "id": ACTIVITY},
        {"token_count": 0},
    ],
    "metrics": [
        {"agent_id": AGENT},
        {"metric_name": "x"},
        {"tenant_id": OTHER_TENANT, "id": TAKEN},
        {"value": 0},
        {"value": "-99999999999999.999999"},
        {"value": "99999999999999.999999"},
    ],
    "evaluations": [
        {"agent_id": AGENT},
        {"cost": 0},
        {"cost": "9999.999999"},
        {"duration_ms": 0},
        {"evaluator_type": "x"},
        {"input": "any JSON", "expected_output": 42, "actual_output": [43]},
        dict.fromkeys(SCORES, 0),
        dict.fromkeys(SCORES, 1),
        {"tenant_id": OTHER_TENANT, "id": TAKEN},
        {"token_count": 0},
    ],
    "feedback": [
        {"agent_id": AGENT, "session_id": SESSION, "activity_id": ACTIVITY},
        {"feedback_type": "x"},
        {"tenant_id": OTHER_TENANT, "id": TAKEN},
    ],
}
