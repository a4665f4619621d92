"""What revisions may use as `op.*` beyond Alembic's own: each does one dangerous or repeated thing, once."""

from .registry import register

__all__ = ["register"]
