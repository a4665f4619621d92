"""The width of embeddings in the database that is being migrated."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError


class EmbeddingWidth(MigrateOperation):
    """What a revision asks about embeddings."""

    @classmethod
    def embedding_dim(cls, operations: Operations) -> int:
        """Return the width of embeddings in this database, in dimensions."""
        options = operations.get_context().opts
        if "embedding_dim" not in options:
            raise MigrationError(
                "this env.py runs memstore's revisions without its options. "
                "Add to context.configure(...): **memstore.migrations.host_options()"
            )
        width: int | None = options["embedding_dim"]
        if width is None:
            raise MigrationError(
                "the width of embeddings is needed, and without a database only you know it. "
                "Type: memstore db sql --embedding-dim N (alembic: -x embedding_dim=N)"
            )
        return width
