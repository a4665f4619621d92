"""How data comes in: importing memories from where they live today."""

try:
    import msgspec as _msgspec  # noqa: F401 -- said here, once, what is missing
except ImportError as error:
    from ..errors import MissingPackageError

    raise MissingPackageError("importing", "transfer") from error

from .importer import DEFAULT_BATCH_SIZE, ImportResult, Progress, import_corpus

__all__ = ["DEFAULT_BATCH_SIZE", "ImportResult", "Progress", "import_corpus"]
