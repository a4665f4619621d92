"""Memories in files: one folder for each tenant, readable by any tool."""

from .nodes import exchange_id, is_stored
from .store import FileStore

__all__ = ["FileStore", "exchange_id", "is_stored"]
