"""Running a function as the body of a revision, in a database of any project."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from memstore.migrations.operations import register
from memstore.migrations.progress import Progress
from memstore.settings import Settings

Body = Callable[[Any], None]

IMPATIENT = Settings(lock_timeout_ms=50, lock_retries=2, concurrent_lock_timeout_ms=200, concurrent_lock_retries=1)

register()


class Project:
    """A database with tables of somebody's own, and a way to migrate it."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine: Engine = create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
        self.progress: list[Progress] = []

    def migrate(self, body: Body, settings: Settings | None = None, **options: Any) -> None:
        """Run `body` in the transaction of a revision, as Alembic does."""
        with self.engine.connect() as connection:
            self.migrate_on(connection, body, settings, **options)

    def migrate_on(
        self, connection: Connection, /, body: Body, settings: Settings | None = None, **options: Any
    ) -> None:
        opts = {"transaction_per_migration": True, "memstore_progress": self.progress.append, **options}
        if settings is not None:
            opts["memstore_settings"] = settings
        context = MigrationContext.configure(connection, opts=opts)
        with context.begin_transaction(_per_migration=bool(opts["transaction_per_migration"])):
            body(Operations(context))

    def rendered(self, body: Body) -> str:
        """Return what `--sql` prints of a revision."""
        output = io.StringIO()
        context = MigrationContext.configure(
            dialect_name="postgresql",
            dialect_opts={"paramstyle": "named"},
            opts={"as_sql": True, "output_buffer": output, "literal_binds": True, "transaction_per_migration": True},
        )
        with context.begin_transaction(_per_migration=True):
            body(Operations(context))
        return output.getvalue()

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    @contextmanager
    def transaction(self, *statements: str) -> Iterator[Connection]:
        """Hold a transaction open during the block, which is rolled back after it."""
        with self.engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
            yield connection
