"""The error tree: one base, a subclass for each event, each with a stable code and a message that is the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .migrations.catalog import Difference
    from .migrations.sums import Finding


class MemstoreError(Exception):
    """Base of every error that memstore raises on purpose.

    The message says what was found, what was needed and what to type. `code` is stable across releases,
    so that programs can tell events apart without reading prose.
    """

    code: ClassVar[str] = "memstore"


class SettingsError(MemstoreError):
    """A setting is missing or cannot be read."""

    code = "settings"


class MissingPackageError(MemstoreError):
    """An optional dependency is needed for this and is not installed."""

    code = "missing_package"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'. Run: pip install 'memstore[{extra}]'")


class ServerUnreachableError(MemstoreError):
    """No server answers at the address of the database URL."""

    code = "server_unreachable"


class AuthenticationError(MemstoreError):
    """The server refused the user or the password."""

    code = "authentication"


class DatabaseMissingError(MemstoreError):
    """The server has no database of that name."""

    code = "database_missing"


class PermissionDeniedError(MemstoreError):
    """The role may not do what was asked of it."""

    code = "permission_denied"


class RequirementError(MemstoreError):
    """The server is too old, or pgvector is not there or too old."""

    code = "requirement"


class SchemaMismatchError(MemstoreError):
    """The tables are missing, at another revision, or of another embedding width than this process needs."""

    code = "schema_mismatch"

    def __init__(self, message: str, *, found: str | None, needed: str) -> None:
        super().__init__(message)
        self.found = found
        self.needed = needed


class MigrationLockError(MemstoreError):
    """Another runner holds the migration lock and did not let go in time."""

    code = "migration_locked"

    def __init__(self, message: str, *, holder_pid: int | None, holder_application: str | None) -> None:
        super().__init__(message)
        self.holder_pid = holder_pid
        self.holder_application = holder_application


class MigrationError(MemstoreError):
    """A migration could not be carried out as asked; what was committed before it stays."""

    code = "migration"


class SchemaDriftError(MemstoreError):
    """The schema in a database is not what its revision made, or would make.

    `differences` holds a `memstore.migrations.Difference` for each object, with the SQL to type.
    """

    code = "schema_drift"

    def __init__(self, summary: str, differences: Sequence[Difference]) -> None:
        self.differences = tuple(differences)
        lines = [f"  {each.object}: {each.problem}" for each in self.differences[:20]]
        if len(self.differences) > len(lines):
            lines.append(f"  and {len(self.differences) - len(lines)} more")
        super().__init__("\n".join([summary, *lines]))


class TamperError(MemstoreError):
    """A released revision, or the file that seals it, is not what it was, and nobody has accepted that.

    `findings` holds a `memstore.migrations.Finding` for each, with what to do; none where versions.sum is unreadable.
    """

    code = "tampered"

    def __init__(self, summary: str, findings: Sequence[Finding] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join([summary, *(f"  {each}" for each in self.findings)]))


class UnknownTenantError(MemstoreError):
    """No tenant has that id or name."""

    code = "unknown_tenant"


class UnknownUserError(MemstoreError):
    """No user has that id."""

    code = "unknown_user"


class IdentityConflictError(MemstoreError):
    """A tenant or user of that identity exists already, or more than one fits."""

    code = "identity_conflict"


class TenantScopeError(MemstoreError):
    """A tenant's session was asked to write for somebody else, or was opened without a valid id."""

    code = "tenant_scope"


class UnknownMemoryError(MemstoreError):
    """The scope holds no memory of that id, or one without a vector where a vector is needed."""

    code = "unknown_memory"


class InvalidMemoryError(MemstoreError):
    """A memory, or a change to one, holds something that cannot be kept; `field` names what."""

    code = "invalid_memory"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class MemoryExistsError(MemstoreError):
    """The tenant has a memory of that id, or a live one of that natural key."""

    code = "memory_exists"


class StaleMemoryError(MemstoreError):
    """A memory is not at the version that it was to be changed at: somebody else changed it since it was read."""

    code = "stale_memory"

    def __init__(self, message: str, *, found: int, expected: int) -> None:
        super().__init__(message)
        self.found = found
        self.expected = expected


class UnknownReferenceError(MemstoreError):
    """A memory names an agent or a session that its tenant does not have."""

    code = "unknown_reference"


class StoreBusyError(MemstoreError):
    """All connections of a store, or the lock of its files, were in use for longer than it waits."""

    code = "store_busy"


class StoreClosedError(MemstoreError):
    """A store was asked for something after it was closed, or closed while it was at it."""

    code = "store_closed"


class StoreFilesError(MemstoreError):
    """The files of a store cannot be written, or not read; what was written before is still there."""

    code = "store_files"


class VectorError(MemstoreError):
    """A vector has the wrong shape, width or type, or no cosine."""

    code = "vector"


class EmbeddingModelError(MemstoreError):
    """An embedding model is not registered, or registered with another width or distance."""

    code = "embedding_model"


class CorpusError(MemstoreError):
    """A corpus cannot be imported as it is. Nothing was written.

    `problems` holds up to 20 of them, one line each; `total` counts all that were found.
    """

    code = "corpus"

    def __init__(self, summary: str, problems: Sequence[str] = (), *, total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = len(self.problems) if total is None else total
        more = self.total - len(self.problems)
        lines = [summary, *(f"  {problem}" for problem in self.problems)]
        if more > 0:
            lines.append(f"  and {more} more")
        super().__init__("\n".join(lines))


class MilvusUnreachableError(MemstoreError):
    """No Milvus answers at the address, the folder of a Milvus Lite is in use, or a call took too long."""

    code = "milvus_unreachable"


class MilvusRefusedError(MemstoreError):
    """Milvus refused a call; `milvus_code` is its own number or name for why, None where it gave none."""

    code = "milvus_refused"

    def __init__(self, message: str, *, milvus_code: int | str | None = None) -> None:
        super().__init__(message)
        self.milvus_code = milvus_code


class MilvusStateError(MemstoreError):
    """A collection is missing, half built, somebody else's, or not what PostgreSQL's ledger says of it."""

    code = "milvus_state"


class MirrorError(MemstoreError):
    """The mirror cannot be followed: it is not enabled, or somebody else is at it for too long."""

    code = "mirror"


class BackupError(MemstoreError):
    """A backup cannot be written, or is damaged; a damaged one is refused before anything changes."""

    code = "backup"
