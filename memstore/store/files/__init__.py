"""Memories in files: one folder for each tenant, readable by any tool."""

from .nodes import FOREIGN_KEYS, exchange_id, is_stored
from .store import FileStore

__all__ = ["FOREIGN_KEYS", "FileStore", "exchange_id", "is_stored"]
