"""A linter for revisions of any Alembic project on PostgreSQL and pgvector: by their files, and by their SQL."""

from .finding import Finding, Rule
from .linter import CODES, LintResult, lint_revisions
from .rules import RULES
from .squawk import CHOSEN

__all__ = ["CHOSEN", "CODES", "RULES", "Finding", "LintResult", "Rule", "lint_revisions"]
