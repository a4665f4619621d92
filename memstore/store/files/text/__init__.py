"""What words a text holds, as PostgreSQL's text search sees it."""

from .lexemes import lexemes

__all__ = ["lexemes"]
