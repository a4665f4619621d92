"""The installation, tenants, users, agents, sessions, tools."""

from __future__ import annotations

from decimal import Decimal

from memstore import models
from memstore.models import Agent, AgentTool, LedgerEntry, MigrationRepair, Session, Setting, Tenant, Tool, User

from .common import AGENT, CREATED, LATER, MINE, ROW, SESSION, TENANT, TOOL, UPDATED, USER, VERSIONED, Values

VALUES: Values = {
    Setting: {"key": "colour", "value": {"name": "green", "rgb": [0, 1.5, None]}},
    LedgerEntry: {
        "revision": "0001_foundation",
        "direction": models.MigrationDirection.STAMP,
        "checksum": "ab" * 32,
        "package_version": "1.2.3",
        "applied_by": "somebody",
        "applied_at": CREATED,
        "duration_ms": 12,
    },
    MigrationRepair: {
        "revision": "0004_memory_nodes",
        "problem": models.RevisionProblem.CHANGED,
        "checksum": "cd" * 32,
        "reason": "a comment was corrected",
        "repaired_by": "somebody",
        "repaired_at": CREATED,
        "package_version": "1.2.3",
    },
    Tenant: VERSIONED
    | {
        "id": TENANT,
        "kind": models.TenantKind.PERSONAL,
        "name": "Ann",
        "external_id": "acme",
        "config": {"plan": "free"},
    },
    User: VERSIONED
    | {
        "id": USER,
        "tenant_id": TENANT,
        "auth_provider": "google",
        "external_id": "ann",
        "email": "ann@example.com",
        "display_name": "Ann Ångström 🦉",
    },
    Agent: VERSIONED
    | {
        "tenant_id": TENANT,
        "id": AGENT,
        "name": "Guide",
        "description": "shows the way",
        "personality": "calm",
        "language": "pt-BR",
        "status": models.AgentStatus.ACTIVE,
        "llm_provider": "local",
        "llm_model": "small",
        "temperature": Decimal("0.75"),
        "max_tokens": 512,
        "behavior_name": "guide",
        "capabilities": ["search", {"name": "plan"}],
        "metadata_": {"team": "north"},
    },
    Session: VERSIONED
    | {
        "tenant_id": TENANT,
        "id": SESSION,
        "user_id": USER,
        "agent_id": AGENT,
        "status": models.SessionStatus.CLOSED,
        "history": [{"role": "user", "content": "hi"}],
        "workspace": {"step": 2},
        "metadata_": {"channel": "web"},
        "expires_at": LATER,
    },
    Tool: VERSIONED
    | {
        "tenant_id": TENANT,
        "id": TOOL,
        "name": "search",
        "description": "finds things",
        "category": "reading",
        "input_schema": {"type": "object", "required": ["words"]},
        "output_schema": {"type": "array"},
        "version_label": "2.1.0",
        "status": models.ToolStatus.DEPRECATED,
        "tags": ["web", 2],
        "documentation": "Type words.",
        "examples": [{"words": "tea"}],
        "timeout_seconds": 86_400,
        "retry_config": {"times": 3},
        "cost_per_call": Decimal("1234.567891"),
        "deprecated_at": UPDATED,
        "metadata_": {"owner": "north"},
    },
    AgentTool: {
        "tenant_id": TENANT,
        "agent_id": AGENT,
        "tool_id": TOOL,
        "enabled": False,
        "config": {"safe": True},
        "added_at": CREATED,
    },
}

REQUIRED: Values = {
    Setting: {"key": "size", "value": 4},
    LedgerEntry: {
        "revision": "1",
        "direction": models.MigrationDirection.UPGRADE,
        "package_version": "1",
        "duration_ms": 0,
    },
    MigrationRepair: {
        "revision": "1",
        "problem": models.RevisionProblem.MISSING,
        "reason": "x",
        "package_version": "1",
    },
    Tenant: {"name": "Acme"},
    User: {"auth_provider": "test", "external_id": "bob"},
    Agent: MINE | {"name": "Critic"},
    Session: MINE | {"agent_id": AGENT, "expires_at": UPDATED},
    Tool: MINE | {"id": ROW, "name": "count"},
    AgentTool: MINE | {"agent_id": AGENT, "tool_id": ROW},
}
