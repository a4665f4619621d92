"""What the archive is called, and what its parts say to one another."""

from __future__ import annotations

ARCHIVE_SCHEMA = "memstore_archive"
RESULT = "memstore.moved_rows"  # a setting of the transaction, by which a block tells what it has done
REFUSED = "MSA01"  # the SQLSTATE of what a block refuses
LAST_VALUE = "last value of its sequence: "  # the comment of a column in an archive
