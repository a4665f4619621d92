"""Memories in files: one folder for each tenant, readable by any tool."""

from .nodes import exchange_id
from .store import FileStore

__all__ = ["FileStore", "exchange_id"]
