"""The closed vocabularies. A column that uses one is text with a named CHECK made from it."""

from __future__ import annotations

from enum import StrEnum


class TenantKind(StrEnum):
    """Whose a tenant is: one person's, or an organisation's."""

    PERSONAL = "personal"
    ENTERPRISE = "enterprise"


class MigrationDirection(StrEnum):
    """What a step in the migration ledger did."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"


class RevisionProblem(StrEnum):
    """What was found wrong with a revision's file, with the line that seals it, or with what was applied of it."""

    CHANGED = "changed"
    MISSING = "missing"
    UNKNOWN = "unknown"
    INSERTED = "inserted"
    SUMS_EDITED = "sums_edited"
    APPLIED_DIFFERENTLY = "applied_differently"
    APPLIED_UNKNOWN = "applied_unknown"


class MirrorEvent(StrEnum):
    """What became of a physical collection of the mirror."""

    BUILDING = "building"
    VERIFIED = "verified"
    ACTIVATING = "activating"
    ACTIVE = "active"
    RETIRED = "retired"
    DROPPED = "dropped"
    ADOPTED = "adopted"


class AgentStatus(StrEnum):
    """Where an agent is in its life."""

    DRAFT = "draft"
    ACTIVE = "active"
    INACTIVE = "inactive"
    ARCHIVED = "archived"


class SessionStatus(StrEnum):
    """Where a session is in its life."""

    ACTIVE = "active"
    CLOSED = "closed"
    EXPIRED = "expired"
    ARCHIVED = "archived"


class ToolStatus(StrEnum):
    """Whether a tool may be called."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    DISABLED = "disabled"


class IntentType(StrEnum):
    """What the human wanted with an utterance."""

    QUESTION = "question"
    REQUEST = "request"
    STATEMENT = "statement"
    COMPLAINT = "complaint"
    CELEBRATION = "celebration"


class Complexity(StrEnum):
    """How involved an exchange is."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"


class EmotionalValence(StrEnum):
    """The mood of an exchange."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


class Urgency(StrEnum):
    """How soon an exchange asks for something."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ConversationMode(StrEnum):
    """What kind of conversation an exchange belongs to."""

    CHAT = "chat"
    DEBUG = "debug"
    BRAINSTORM = "brainstorm"
    REVIEW = "review"


class MemoryType(StrEnum):
    """What a memory is, for the application."""

    GENERAL = "general"
    FACT = "fact"
    PREFERENCE = "preference"
    CONTEXT = "context"
    CONVERSATION = "conversation"
    INSIGHT = "insight"
    SKILL = "skill"
    EPISODIC = "episodic"
    SEMANTIC = "semantic"
    PROCEDURAL = "procedural"


class NeuroType(StrEnum):
    """Which kind of human memory a memory is like; it sets the default rate of decay."""

    EPISODIC = "episodic"
    SEMANTIC = "semantic"
    PROCEDURAL = "procedural"


class DecayTier(StrEnum):
    """How long a memory lives from its creation: 7, 30 or 180 days, or for ever."""

    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"
    PINNED = "pinned"


class RelationshipType(StrEnum):
    """What one memory is to another."""

    REFLECTION = "reflection"
    CONSOLIDATION = "consolidation"
    PATTERN = "pattern"
    DECAY_PROMOTION = "decay_promotion"
    SEMANTIC_LINK = "semantic_link"
    SUPERSEDES = "supersedes"


class Distance(StrEnum):
    """How an embedding model wants its vectors compared."""

    COSINE = "cosine"
    L2 = "l2"
    INNER_PRODUCT = "inner_product"


class ActivityStatus(StrEnum):
    """How an activity ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"


class MetricType(StrEnum):
    """What kind of measurement a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Severity(StrEnum):
    """How much a piece of feedback matters."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class FeedbackStatus(StrEnum):
    """Where a piece of feedback is in its life."""

    OPEN = "open"
    IN_REVIEW = "in_review"
    RESOLVED = "resolved"
    WONT_FIX = "wont_fix"
    DUPLICATE = "duplicate"


class AccessType(StrEnum):
    """What somebody did with a memory."""

    READ = "read"
    WRITE = "write"
    UPDATE = "update"
    DELETE = "delete"
    SEARCH = "search"


class SearchType(StrEnum):
    """What a search went by."""

    VECTOR = "vector"
    TEXT = "text"
    HYBRID = "hybrid"
