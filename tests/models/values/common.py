"""What the rows of values share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from memstore.models import Base

Values = dict[type[Base], dict[str, Any]]

TENANT, USER, AGENT, SESSION, TOOL, DOCUMENT, ACTIVITY, ROW = (UUID(int=number) for number in range(1, 9))
MEMORY, FORMER, EPISODE = "mem_0123456789abcdef", "mem_fedcba9876543210", "episode"
CREATED, UPDATED, LATER = (datetime(year, 2, 3, 4, 5, 6, 789, tzinfo=UTC) for year in (2001, 2002, 2100))
VERSIONED = {"created_at": CREATED, "updated_at": UPDATED, "version": 7}
MINE = {"tenant_id": TENANT}
