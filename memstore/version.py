"""The version of this package, read by the build and written to the migration ledger."""

__version__ = "0.1.0"
