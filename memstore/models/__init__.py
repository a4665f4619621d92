"""What memstore stores, as typed SQLAlchemy 2 models. Importing it needs no database and no environment."""

from .agents import Agent, Session
from .base import SCHEMA, Base, Created, TenantOwned, UserOwned, Versioned
from .installation import LedgerEntry, Setting
from .memory import MemoryNode
from .tenancy import Tenant, User
from .vocabulary import (
    AgentStatus,
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    MigrationDirection,
    NeuroType,
    SessionStatus,
    TenantKind,
    Urgency,
)

__all__ = [
    "SCHEMA",
    "Agent",
    "AgentStatus",
    "Base",
    "Complexity",
    "ConversationMode",
    "Created",
    "DecayTier",
    "EmotionalValence",
    "IntentType",
    "LedgerEntry",
    "MemoryNode",
    "MemoryType",
    "MigrationDirection",
    "NeuroType",
    "Session",
    "SessionStatus",
    "Setting",
    "Tenant",
    "TenantKind",
    "TenantOwned",
    "Urgency",
    "User",
    "UserOwned",
    "Versioned",
]
