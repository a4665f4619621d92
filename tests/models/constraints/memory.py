from __future__ import annotations

from tests.models.constraints.common import (
    AGENT,
    LATER,
    NOBODY,
    OTHER_AGENT,
    OTHER_SESSION,
    OTHER_TENANT,
    OTHER_USER,
    SESSION,
    TENANT,
    USER,
    Row,
)

PARENTS: list[tuple[str, Row]] = [
    (
        "memory_nodes",
        {"tenant_id": TENANT, "id": "fact", "agent_id": AGENT, "user_id": USER, "key": "city", "content": "Rome"},
    ),
    *(
        ("memory_nodes", {"tenant_id": tenant, "id": node, "content": "Hello"})
        for tenant in (TENANT, OTHER_TENANT)
        for node in ("left", "right")
    ),
    ("memory_nodes", {"tenant_id": OTHER_TENANT, "id": "theirs", "content": "Hello"}),
]

VALID: dict[str, Row] = {
    "memory_nodes": {"tenant_id": TENANT, "id": "new", "content": "Ann likes tea"},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("memory_nodes", "ck_memory_nodes_access_count_not_negative", {"access_count": -1}),
    ("memory_nodes", "ck_memory_nodes_cluster_confidence_range", {"cluster_confidence": -0.01}),
    ("memory_nodes", "ck_memory_nodes_cluster_confidence_range", {"cluster_confidence": 1.01}),
    ("memory_nodes", "ck_memory_nodes_cluster_confidence_range", {"cluster_confidence": "NaN"}),
    ("memory_nodes", "ck_memory_nodes_cluster_id_range", {"cluster_id": -2}),
    ("memory_nodes", "ck_memory_nodes_complexity", {"complexity": "odd"}),
    ("memory_nodes", "ck_memory_nodes_conversation_mode", {"conversation_mode": "odd"}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": -0.01}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": 100.01}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": "NaN"}),
    ("memory_nodes", "ck_memory_nodes_decay_lambda_range", {"decay_lambda": "Infinity"}),
    ("memory_nodes", "ck_memory_nodes_decay_tier", {"decay_tier": "odd"}),
    ("memory_nodes", "ck_memory_nodes_embedding_has_cosine", {"embedding": "[0, 0, 0, 0]"}),
    ("memory_nodes", "ck_memory_nodes_embedding_has_cosine", {"embedding": "[1e-30, 1e-30, 0, 0]"}),
    ("memory_nodes", "ck_memory_nodes_embedding_has_cosine", {"embedding": "[3e38, 3e38, 0, 0]"}),
    ("memory_nodes", "ck_memory_nodes_emotional_valence", {"emotional_valence": "odd"}),
    ("memory_nodes", "ck_memory_nodes_has_text", {"content": None}),
    ("memory_nodes", "ck_memory_nodes_has_text", {"content": None, "assistant_content": "an answer to nothing"}),
    ("memory_nodes", "ck_memory_nodes_id_not_empty", {"id": ""}),
    ("memory_nodes", "ck_memory_nodes_importance_decay_range", {"importance_decay": -0.01}),
    ("memory_nodes", "ck_memory_nodes_importance_decay_range", {"importance_decay": 1.01}),
    ("memory_nodes", "ck_memory_nodes_importance_decay_range", {"importance_decay": "NaN"}),
    ("memory_nodes", "ck_memory_nodes_importance_range", {"importance": 0}),
    ("memory_nodes", "ck_memory_nodes_importance_range", {"importance": 11}),
    ("memory_nodes", "ck_memory_nodes_intent_type", {"intent_type": "odd"}),
    ("memory_nodes", "ck_memory_nodes_memory_type", {"memory_type": "odd"}),
    ("memory_nodes", "ck_memory_nodes_metadata_is_object", {"metadata": []}),
    ("memory_nodes", "ck_memory_nodes_neuro_type", {"neuro_type": "odd"}),
    ("memory_nodes", "ck_memory_nodes_sequence_index_not_negative", {"sequence_index": -1}),
    ("memory_nodes", "ck_memory_nodes_tags_is_object", {"tags": []}),
    ("memory_nodes", "ck_memory_nodes_technical_depth_range", {"technical_depth": -1}),
    ("memory_nodes", "ck_memory_nodes_technical_depth_range", {"technical_depth": 11}),
    ("memory_nodes", "ck_memory_nodes_urgency", {"urgency": "odd"}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_agent_id_agents", {"agent_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_agent_id_agents", {"agent_id": OTHER_AGENT}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_session_id_sessions", {"session_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_session_id_sessions", {"session_id": OTHER_SESSION}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_user_id_users", {"user_id": NOBODY}),
    ("memory_nodes", "fk_memory_nodes_tenant_id_user_id_users", {"user_id": OTHER_USER}),
    (
        "memory_nodes",
        "uq_memory_nodes_tenant_id_agent_id_user_id_key",
        {"agent_id": AGENT, "user_id": USER, "key": "city"},
    ),
    ("memory_nodes", "pk_memory_nodes", {"id": "fact"}),
]

ACCEPTED: dict[str, list[Row]] = {
    "memory_nodes": [
        {"access_count": 0},
        {"cluster_confidence": 0},
        {"cluster_confidence": 1},
        {"cluster_id": -1},
        {"decay_lambda": 0},
        {"decay_lambda": 100},
        {"embedding": "[0, 0, 0, 1e-18]"},
        {"embedding": "[-1e18, 0, 0, 0]"},
        {"content": None, "human_content": "a question"},
        {"importance": 1},
        {"importance": 10},
        {"importance_decay": 0},
        {"importance_decay": 1},
        {"sequence_index": 0},
        {"technical_depth": 0},
        {"technical_depth": 10},
        {"agent_id": AGENT, "user_id": USER, "session_id": SESSION, "key": "street"},
        {"agent_id": AGENT, "user_id": None, "key": "city"},
        {"agent_id": None, "user_id": USER, "key": "city"},
        {"agent_id": AGENT, "user_id": USER, "key": None},
        {"agent_id": AGENT, "user_id": USER, "key": "city", "deleted_at": LATER},
        {"tenant_id": OTHER_TENANT, "agent_id": OTHER_AGENT, "user_id": OTHER_USER, "key": "city"},
        {"id": "x"},
        {"tenant_id": OTHER_TENANT, "id": "fact"},
    ],
}
