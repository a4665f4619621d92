"""How applications read and write memory: identities, finding memories again, what becomes of them with time."""

from .audit import log_access
from .embedding_search import (
    EmbeddingHit,
    HybridEmbeddingHit,
    explain_similarity_search,
    hybrid_search_embeddings,
    similarity_search,
)
from .embeddings import delete_embeddings, register_embedding_model, upsert_embedding
from .filters import Filters
from .identity import NewTenant, NewUser, as_sql, check_owner, create_tenant, create_user, tenant_of
from .lifecycle import DECAY_PER_DAY, LIFETIME, decay_score, decay_score_of, expiry, is_live
from .memories import UNSET, Memory, MemoryChange, NewMemory
from .opening import open  # noqa: A004 -- memstore.store.open
from .postgres import PostgresStore
from .protocol import MemoryScope, MemoryStore
from .results import (
    Added,
    Explanation,
    FoundBy,
    Health,
    Hit,
    Order,
    Page,
    SearchPlan,
    SearchResult,
    Weights,
)
from .retention import (
    archive_closed_sessions,
    cleanup_expired_sessions,
    purge_activities,
    purge_expired_memories,
    purge_metrics,
)
from .retention_run import RetentionPolicy, RetentionProgress, RetentionResult, RetentionStep, run_retention
from .settings import Backend, StoreSettings

__all__ = [
    "DECAY_PER_DAY",
    "LIFETIME",
    "UNSET",
    "Added",
    "Backend",
    "EmbeddingHit",
    "Explanation",
    "Filters",
    "FoundBy",
    "Health",
    "Hit",
    "HybridEmbeddingHit",
    "Memory",
    "MemoryChange",
    "MemoryScope",
    "MemoryStore",
    "NewMemory",
    "NewTenant",
    "NewUser",
    "Order",
    "Page",
    "PostgresStore",
    "RetentionPolicy",
    "RetentionProgress",
    "RetentionResult",
    "RetentionStep",
    "SearchPlan",
    "SearchResult",
    "StoreSettings",
    "Weights",
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
    "explain_similarity_search",
    "hybrid_search_embeddings",
    "is_live",
    "log_access",
    "open",
    "purge_activities",
    "purge_expired_memories",
    "purge_metrics",
    "register_embedding_model",
    "run_retention",
    "similarity_search",
    "tenant_of",
    "upsert_embedding",
]
