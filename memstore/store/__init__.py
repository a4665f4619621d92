"""How applications read and write memory: identities, finding memories again, what becomes of them with time."""

from .audit import log_access
from .embeddings import (
    EmbeddingHit,
    delete_embeddings,
    register_embedding_model,
    similarity_search,
    upsert_embedding,
)
from .identity import NewTenant, NewUser, as_sql, check_owner, create_tenant, create_user, tenant_of
from .lifecycle import DECAY_PER_DAY, LIFETIME, decay_score, decay_score_of, expiry, is_live
from .retention import (
    archive_closed_sessions,
    cleanup_expired_sessions,
    purge_activities,
    purge_expired_memories,
    purge_metrics,
)
from .retention_run import RetentionPolicy, RetentionProgress, RetentionResult, RetentionStep, run_retention
from .search import Hit, like, search

__all__ = [
    "DECAY_PER_DAY",
    "LIFETIME",
    "EmbeddingHit",
    "Hit",
    "NewTenant",
    "NewUser",
    "RetentionPolicy",
    "RetentionProgress",
    "RetentionResult",
    "RetentionStep",
    "archive_closed_sessions",
    "as_sql",
    "check_owner",
    "cleanup_expired_sessions",
    "create_tenant",
    "create_user",
    "decay_score",
    "decay_score_of",
    "delete_embeddings",
    "expiry",
    "is_live",
    "like",
    "log_access",
    "purge_activities",
    "purge_expired_memories",
    "purge_metrics",
    "register_embedding_model",
    "run_retention",
    "search",
    "similarity_search",
    "tenant_of",
    "upsert_embedding",
]
