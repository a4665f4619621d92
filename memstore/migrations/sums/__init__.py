"""Evidence that released revisions are what they were: alembic/versions.sum, and what this database has applied."""

from .findings import Acceptance, Finding
from .gate import check_chain, check_evidence, warn_of_files
from .repair import repair
from .verify import Verification, verify

__all__ = [
    "Acceptance",
    "Finding",
    "Verification",
    "check_chain",
    "check_evidence",
    "repair",
    "verify",
    "warn_of_files",
]
