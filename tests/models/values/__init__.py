"""Rows of each model. Parents come first."""

from __future__ import annotations

from . import agents, memory, mirror, observability
from .common import CREATED, LATER, SESSION, TENANT, UPDATED, Values
from .memory import OTHER_MEMORY
from .observability import OTHER_TENANT

# A value that is no default, for every column that can be written.
VALUES = agents.VALUES | memory.VALUES | observability.VALUES | mirror.VALUES
# Enough to insert a second row of each model, all else left to the database.
REQUIRED = agents.REQUIRED | memory.REQUIRED | observability.REQUIRED | mirror.REQUIRED

__all__ = [
    "CREATED",
    "LATER",
    "OTHER_MEMORY",
    "OTHER_TENANT",
    "REQUIRED",
    "SESSION",
    "TENANT",
    "UPDATED",
    "VALUES",
    "Values",
]
