from __future__ import annotations

from tests.models.constraints.common import (
    LARGEST_REAL,
    NOBODY,
    OTHER_TENANT,
    OTHER_USER,
    TENANT,
    USER,
    Row,
)

# Both tenants have the nodes "left" and "right" and the episode "twin", and one has an episode and a node "theirs".
PARENTS: list[tuple[str, Row]] = [
    ("episodic_memories", {"tenant_id": TENANT, "id": "trip"}),
    ("episodic_memories", {"tenant_id": TENANT, "id": "twin"}),
    ("episodic_memories", {"tenant_id": OTHER_TENANT, "id": "twin"}),
    ("episodic_memories", {"tenant_id": OTHER_TENANT, "id": "theirs"}),
    ("episode_nodes", {"tenant_id": TENANT, "episode_id": "twin", "node_id": "left", "position": 0}),
    (
        "memory_relationships",
        {"tenant_id": TENANT, "source_id": "left", "target_id": "right", "relationship_type": "supersedes"},
    ),
]

VALID: dict[str, Row] = {
    "episodic_memories": {"tenant_id": TENANT, "id": "new"},
    "episode_nodes": {"tenant_id": TENANT, "episode_id": "trip", "node_id": "left", "position": 0},
    "memory_relationships": {
        "tenant_id": TENANT,
        "source_id": "right",
        "target_id": "left",
        "relationship_type": "supersedes",
    },
}

REFUSED: list[tuple[str, str, Row]] = [
    ("episodic_memories", "ck_episodic_memories_access_count_not_negative", {"access_count": -1}),
    ("episodic_memories", "ck_episodic_memories_avg_complexity", {"avg_complexity": "odd"}),
    ("episodic_memories", "ck_episodic_memories_avg_technical_depth_range", {"avg_technical_depth": -0.01}),
    ("episodic_memories", "ck_episodic_memories_avg_technical_depth_range", {"avg_technical_depth": 10.01}),
    ("episodic_memories", "ck_episodic_memories_avg_technical_depth_range", {"avg_technical_depth": "NaN"}),
    ("episodic_memories", "ck_episodic_memories_avg_technical_depth_range", {"avg_technical_depth": "Infinity"}),
    ("episodic_memories", "ck_episodic_memories_dominant_intent", {"dominant_intent": "odd"}),
    ("episodic_memories", "ck_episodic_memories_duration_minutes_not_negative", {"duration_minutes": -0.01}),
    ("episodic_memories", "ck_episodic_memories_duration_minutes_not_negative", {"duration_minutes": "NaN"}),
    ("episodic_memories", "ck_episodic_memories_duration_minutes_not_negative", {"duration_minutes": "Infinity"}),
    ("episodic_memories", "ck_episodic_memories_embedding_has_cosine", {"embedding": "[0, 0, 0, 0]"}),
    ("episodic_memories", "ck_episodic_memories_embedding_has_cosine", {"embedding": "[1e-30, 1e-30, 0, 0]"}),
    ("episodic_memories", "ck_episodic_memories_embedding_has_cosine", {"embedding": "[3e38, 3e38, 0, 0]"}),
    ("episodic_memories", "ck_episodic_memories_id_not_empty", {"id": ""}),
    ("episodic_memories", "ck_episodic_memories_llm_tags_is_object", {"llm_tags": []}),
    ("episodic_memories", "ck_episodic_memories_message_count_not_negative", {"message_count": -1}),
    ("episodic_memories", "ck_episodic_memories_messages_is_array", {"messages": {}}),
    ("episodic_memories", "ck_episodic_memories_metadata_is_object", {"metadata": []}),
    ("episodic_memories", "ck_episodic_memories_urgency_max", {"urgency_max": "odd"}),
    ("episodic_memories", "fk_episodic_memories_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("episodic_memories", "fk_episodic_memories_tenant_id_user_id_users", {"user_id": NOBODY}),
    ("episodic_memories", "fk_episodic_memories_tenant_id_user_id_users", {"user_id": OTHER_USER}),
    ("episodic_memories", "pk_episodic_memories", {"id": "trip"}),
    ("episode_nodes", "ck_episode_nodes_position_not_negative", {"position": -1}),
    ("episode_nodes", "fk_episode_nodes_tenant_id_episode_id_episodic_memories", {"episode_id": "nothing"}),
    ("episode_nodes", "fk_episode_nodes_tenant_id_episode_id_episodic_memories", {"episode_id": "theirs"}),
    ("episode_nodes", "fk_episode_nodes_tenant_id_node_id_memory_nodes", {"node_id": "nothing"}),
    ("episode_nodes", "fk_episode_nodes_tenant_id_node_id_memory_nodes", {"node_id": "theirs"}),
    ("episode_nodes", "fk_episode_nodes_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("episode_nodes", "pk_episode_nodes", {"episode_id": "twin", "position": 1}),
    ("episode_nodes", "uq_episode_nodes_tenant_id_episode_id_position", {"episode_id": "twin", "node_id": "right"}),
    ("memory_relationships", "ck_memory_relationships_confidence_range", {"confidence": -0.01}),
    ("memory_relationships", "ck_memory_relationships_confidence_range", {"confidence": 1.01}),
    ("memory_relationships", "ck_memory_relationships_confidence_range", {"confidence": "NaN"}),
    ("memory_relationships", "ck_memory_relationships_confidence_range", {"confidence": "Infinity"}),
    ("memory_relationships", "ck_memory_relationships_metadata_is_object", {"metadata": []}),
    ("memory_relationships", "ck_memory_relationships_not_to_itself", {"target_id": "right"}),
    ("memory_relationships", "ck_memory_relationships_relationship_type", {"relationship_type": "odd"}),
    ("memory_relationships", "fk_memory_relationships_tenant_id_source_id_memory_nodes", {"source_id": "nothing"}),
    ("memory_relationships", "fk_memory_relationships_tenant_id_source_id_memory_nodes", {"source_id": "theirs"}),
    ("memory_relationships", "fk_memory_relationships_tenant_id_target_id_memory_nodes", {"target_id": "nothing"}),
    ("memory_relationships", "fk_memory_relationships_tenant_id_target_id_memory_nodes", {"target_id": "theirs"}),
    ("memory_relationships", "fk_memory_relationships_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("memory_relationships", "pk_memory_relationships", {"source_id": "left", "target_id": "right"}),
]

ACCEPTED: dict[str, list[Row]] = {
    "episodic_memories": [
        {"access_count": 0},
        {"avg_technical_depth": 0},
        {"avg_technical_depth": 10},
        {"duration_minutes": 0},
        {"duration_minutes": LARGEST_REAL},
        {"embedding": "[0, 0, 0, 1e-18]"},
        {"embedding": "[-1e18, 0, 0, 0]"},
        {"id": "x"},
        {"message_count": 0},
        {"tenant_id": OTHER_TENANT, "id": "trip"},
        {"user_id": USER},
    ],
    "episode_nodes": [
        {"episode_id": "twin", "node_id": "right", "position": 1},
        {"tenant_id": OTHER_TENANT, "episode_id": "twin"},
    ],
    "memory_relationships": [
        {"confidence": 0},
        {"confidence": 1},
        {"source_id": "left", "target_id": "right", "relationship_type": "pattern"},
        {"source_id": "left", "target_id": "fact"},
        {"source_id": "fact", "target_id": "right"},
        {"tenant_id": OTHER_TENANT, "source_id": "left", "target_id": "right"},
    ],
}
