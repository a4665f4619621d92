"""What agents did, how well, what people say about it, and the trail."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from memstore import models
from memstore.models import (
    Activity,
    Evaluation,
    Feedback,
    MemoryAccess,
    Metric,
    SearchMetric,
    SearchStatistics,
    WordStatistics,
)

from .common import ACTIVITY, AGENT, CREATED, MEMORY, MINE, ROW, SESSION, TENANT, UPDATED, USER, Values

# Statistics are one row a tenant: a second row is of another.
OTHER_TENANT = {"id": UUID(int=99), "name": "Initech"}

VALUES: Values = {
    Activity: {
        "tenant_id": TENANT,
        "id": ACTIVITY,
        "agent_id": AGENT,
        "session_id": SESSION,
        "action": "answer",
        "status": models.ActivityStatus.PARTIAL,
        "input": ["what", 1],
        "output": "that",
        "error": "out of words",
        "duration_ms": 12,
        "token_count": 34,
        "cost": Decimal("0.000001"),
        "tools_used": ["search"],
        "metadata_": {"line": 12},
        "created_at": CREATED,
    },
    Metric: {
        "tenant_id": TENANT,
        "id": ROW,
        "agent_id": AGENT,
        "metric_name": "latency",
        "metric_type": models.MetricType.HISTOGRAM,
        "value": Decimal("-12345678901234.123456"),
        "labels": {"region": "north"},
        "timestamp": CREATED,
    },
    Evaluation: {
        "tenant_id": TENANT,
        "id": ROW,
        "agent_id": AGENT,
        "test_case_id": "case 7",
        "evaluator_type": "person",
        "input": ["what", 1],
        "expected_output": "this",
        "actual_output": 2.5,
        "score": Decimal("0.1234"),
        "effectiveness_score": Decimal("0.2345"),
        "efficiency_score": Decimal("0.3456"),
        "robustness_score": Decimal("0.4567"),
        "safety_score": Decimal("0.5678"),
        "passed": True,
        "feedback": "good",
        "details": {"line": 12},
        "duration_ms": 12,
        "token_count": 34,
        "cost": Decimal("1234.567891"),
        "agent_version": "2.1.0",
        "created_at": CREATED,
    },
    Feedback: {
        "tenant_id": TENANT,
        "id": ROW,
        "agent_id": AGENT,
        "session_id": SESSION,
        "activity_id": ACTIVITY,
        "feedback_type": "bug",
        "severity": models.Severity.CRITICAL,
        "title": "Wrong price",
        "description": "Tea is 3 €",
        "category": "prices",
        "tags": ["tea", 2],
        "status": models.FeedbackStatus.RESOLVED,
        "resolution": "corrected",
        "test_case_generated": True,
        "test_case_id": "case 7",
        "metadata_": {"line": 12},
        "resolved_at": UPDATED,
        "created_at": CREATED,
    },
    MemoryAccess: {
        "tenant_id": TENANT,
        "user_id": USER,
        "id": ROW,
        "memory_id": MEMORY,
        "access_type": models.AccessType.SEARCH,
        "correlation_id": "request 7",
        "query_text": "tea",
        "results_count": 3,
        "processing_time_ms": 1.5,
        "metadata_": {"line": 12},
        "accessed_at": CREATED,
    },
    SearchMetric: {
        "tenant_id": TENANT,
        "id": ROW,
        "search_type": models.SearchType.HYBRID,
        "result_count": 3,
        "execution_time_ms": 1.5,
        "metadata_": {"line": 12},
        "created_at": CREATED,
    },
    SearchStatistics: {
        "tenant_id": TENANT,
        "memories": 3000,
        "embedded": 2900,
        "users": {str(USER): 2100},
        "sample": [MEMORY, "one"],
        "refreshed_at": CREATED,
    },
    WordStatistics: {"tenant_id": TENANT, "lexeme": "tea", "documents": 7},
}

REQUIRED: Values = {
    Activity: MINE | {"action": "greet"},
    Metric: MINE | {"metric_name": "count", "metric_type": models.MetricType.COUNTER, "value": Decimal(0)},
    Evaluation: MINE | {"evaluator_type": "rule"},
    Feedback: MINE | {"feedback_type": "praise"},
    MemoryAccess: MINE | {"access_type": models.AccessType.READ},
    SearchMetric: MINE | {"search_type": models.SearchType.TEXT, "result_count": 0, "execution_time_ms": 0.0},
    SearchStatistics: {"tenant_id": OTHER_TENANT["id"], "memories": 0, "embedded": 0},
    WordStatistics: MINE | {"lexeme": "coffee", "documents": 0},
}
