"""What memstore stores, as typed SQLAlchemy 2 models. Importing it needs no database and no environment.

The views are imported when they are first used, so that an import costs hardly more than SQLAlchemy itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .agents import Agent, Session
from .audit import MemoryAccess, SearchMetric
from .base import SCHEMA, Base, Created, TenantOwned, UserOwned, Versioned
from .documents import Document, DocumentChunk
from .embeddings import Embedding, EmbeddingModel
from .episodes import EpisodeNode, EpisodicMemory, MemoryRelationship
from .installation import LedgerEntry, MigrationRepair, Setting
from .memory import MemoryNode
from .mirror import MIRROR_TRIGGERS, MirrorLedgerEntry, MirrorOutboxEntry, MirrorRejection
from .observability import Activity, Evaluation, Feedback, Metric
from .statistics import SearchStatistics, WordStatistics
from .tenancy import Tenant, User
from .tools import AgentTool, Tool
from .vocabulary import (
    AccessType,
    ActivityStatus,
    AgentStatus,
    Complexity,
    ConversationMode,
    DecayTier,
    Distance,
    EmotionalValence,
    FeedbackStatus,
    IntentType,
    MemoryType,
    MetricType,
    MigrationDirection,
    MirrorEvent,
    NeuroType,
    RelationshipType,
    RevisionProblem,
    SearchType,
    SessionStatus,
    Severity,
    TenantKind,
    ToolStatus,
    Urgency,
)

if TYPE_CHECKING:
    from .views import ActiveMemory, AgentStats, RecentFeedbackSummary, VectorSearchStats, View

_VIEWS = {"ActiveMemory", "AgentStats", "RecentFeedbackSummary", "VectorSearchStats", "View"}

__all__ = [
    "MIRROR_TRIGGERS",
    "SCHEMA",
    "AccessType",
    "ActiveMemory",
    "Activity",
    "ActivityStatus",
    "Agent",
    "AgentStats",
    "AgentStatus",
    "AgentTool",
    "Base",
    "Complexity",
    "ConversationMode",
    "Created",
    "DecayTier",
    "Distance",
    "Document",
    "DocumentChunk",
    "Embedding",
    "EmbeddingModel",
    "EmotionalValence",
    "EpisodeNode",
    "EpisodicMemory",
    "Evaluation",
    "Feedback",
    "FeedbackStatus",
    "IntentType",
    "LedgerEntry",
    "MemoryAccess",
    "MemoryNode",
    "MemoryRelationship",
    "MemoryType",
    "Metric",
    "MetricType",
    "MigrationDirection",
    "MigrationRepair",
    "MirrorEvent",
    "MirrorLedgerEntry",
    "MirrorOutboxEntry",
    "MirrorRejection",
    "NeuroType",
    "RecentFeedbackSummary",
    "RelationshipType",
    "RevisionProblem",
    "SearchMetric",
    "SearchStatistics",
    "SearchType",
    "Session",
    "SessionStatus",
    "Setting",
    "Severity",
    "Tenant",
    "TenantKind",
    "TenantOwned",
    "Tool",
    "ToolStatus",
    "Urgency",
    "User",
    "UserOwned",
    "VectorSearchStats",
    "Versioned",
    "View",
    "WordStatistics",
]


def __getattr__(name: str) -> object:
    if name in _VIEWS:
        return getattr(import_module(".views", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
