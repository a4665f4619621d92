"""What env.py hands over to: runs under `alembic`, under `memstore db`, and from code alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from logging.config import fileConfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from alembic import context
from alembic.util import CommandError

from ..database import connecting, explained, open_connection
from ..errors import MemstoreError, MigrationError, SchemaMismatchError
from ..models import SCHEMA, Base
from ..settings import Settings, parse_database_url, parse_embedding_dim
from . import ledger, operations
from .authority import check_authority
from .lock import held_lock, migration_connection
from .namespace import DROP_AT_BASE, create_schema, drop_schema_at_base
from .own_schema import own_options
from .plan import Plan
from .progress import NowAndThen
from .requirements import check_requirements
from .retry import retrying
from .session import migration_session
from .sums import check_evidence, warn_of_files
from .transaction import callers_transaction
from .width import DEFAULT_EMBEDDING_DIM, resolve_embedding_dim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    from .progress import Reporter

operations.register()

_OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "version_table_schema": SCHEMA,
    "transaction_per_migration": True,
}


@dataclass(slots=True)
class Run:
    """What a caller from code hands to env.py in `Config.attributes`, and gets back from it.

    Where the transaction is the caller's (`callers_transaction`), nothing is committed; rendered SQL then has no BEGIN
    and COMMIT around each revision.
    """

    settings: Settings
    connection: Connection | None = None
    embedding_dim: int | None = None
    callers_transaction: bool = False
    on_progress: Reporter | None = None
    steps: list[ledger.Step] = field(default_factory=list)

    KEY: ClassVar[str] = "memstore"

    @property
    def options(self) -> dict[str, Any]:
        """What operations ask the context for."""
        return {
            "memstore_settings": self.settings,
            "memstore_progress": self.on_progress,
            "callers_transaction": self.callers_transaction,
        }


def run() -> None:
    """Run what the Alembic command asks for. Called by env.py."""
    config = context.config
    handed: Run | None = config.attributes.get(Run.KEY)
    if handed is None and config.config_file_name is not None and config.get_section("loggers"):
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    run = handed or Run(Settings.from_env(), connection=config.attributes.get("connection"))
    asked = context.get_x_argument(as_dictionary=True).get("embedding_dim")
    if asked is not None:
        run.embedding_dim = parse_embedding_dim(str(asked), "-x embedding_dim")
    elif run.embedding_dim is None:
        run.embedding_dim = run.settings.embedding_dim
    command = command_options()
    try:
        if context.is_offline_mode():
            _render(command, run)
        elif run.connection is not None and run.callers_transaction:
            _migrate_within(run.connection, command, run)
        elif run.connection is not None:
            _migrate(run.connection, command, run)
        else:
            asyncio.run(_connect_and_migrate(_database_url(config, run.settings), command, run))
    except MemstoreError as error:
        if handed is not None:
            raise
        raise CommandError(str(error)) from error  # which the command `alembic` prints without a traceback


def _database_url(config: Config, settings: Settings) -> URL:
    named = config.get_main_option("sqlalchemy.url")
    if settings.database_url is None and named:
        return parse_database_url(named)
    return settings.required_database_url()


async def _connect_and_migrate(url: URL, command: Mapping[str, Any], run: Run) -> None:
    async with connecting(url, application_name="alembic (memstore)") as engine:
        # Commands that only look (check, current, revision) wait for nobody.
        opened = migration_connection(engine, run.settings) if _moves(command) else open_connection(engine)
        async with opened as connection:
            await connection.run_sync(_migrate, command, run)


def command_options() -> Mapping[str, Any]:
    """Return what the Alembic command passed to the environment; only a configured context shows it."""
    context.configure(dialect_name="postgresql")
    return dict(context.get_context().opts)


def _moves(options: Mapping[str, Any]) -> bool:
    """Tell whether the command goes somewhere (upgrade, downgrade, stamp) or only looks (check, current, revision)."""
    return "destination_rev" in options


def _migrate(connection: Connection, command: Mapping[str, Any], run: Run) -> None:
    if connection.in_transaction():
        raise MigrationError(
            "the connection handed to the migration environment has a transaction open, in which nothing would be "
            "committed. Commit or roll it back first"
        )
    check_requirements(connection)
    embedding_dim = resolve_embedding_dim(connection, run.embedding_dim)
    connection.rollback()  # reading began a transaction, which Alembic would take for the caller's and never commit
    with migration_session(connection, run.settings.lock_timeout_ms):
        if _moves(command):
            check_authority(connection)
            if "purge" not in command:  # as only `stamp` has it, which runs no revision
                check_evidence(connection, Path(context.script.dir))
            connection.commit()
            with held_lock(connection):
                _move(connection, command, run, embedding_dim)
        else:
            options = own_options(embedding_dim)
            context.configure(
                connection=connection, embedding_dim=embedding_dim, dont_mutate=True, **options, **_OPTIONS
            )
            context.run_migrations()


def _move(connection: Connection, command: Mapping[str, Any], run: Run, embedding_dim: int) -> None:
    plan = Plan(command["fn"], run.steps)
    create_schema(connection)
    connection.commit()
    try:
        context.configure(
            connection=connection,
            embedding_dim=embedding_dim,
            fn=plan,
            on_version_apply=plan.record,
            **_OPTIONS,
            memstore_moved=plan.moved,
            memstore_begin=plan.begin,
            **run.options,
        )
        with explained(connection.engine.url):
            retrying(
                context.run_migrations, connection, run.settings, lambda: plan.current, run.on_progress or NowAndThen()
            )
    except SchemaMismatchError as error:
        raise MigrationError(f"{plan.current}: the database is not as its revision says: {error.__cause__}") from error
    finally:
        if not connection.invalidated:
            connection.rollback()
            drop_schema_at_base(connection)
            connection.commit()


def _migrate_within(connection: Connection, command: Mapping[str, Any], run: Run) -> None:
    """Run in the transaction of whoever handed the connection over."""
    plan = Plan(command["fn"], run.steps)
    with callers_transaction(connection, run.settings, lambda: plan.current):
        check_requirements(connection)
        check_authority(connection)
        embedding_dim = resolve_embedding_dim(connection, run.embedding_dim)
        create_schema(connection)
        context.configure(
            connection=connection,
            embedding_dim=embedding_dim,
            fn=plan,
            on_version_apply=plan.record,
            **_OPTIONS,
            memstore_moved=plan.moved,
            **run.options,
        )
        context.run_migrations()
        drop_schema_at_base(connection)


def _render(command: Mapping[str, Any], run: Run) -> None:
    """Print the SQL of an upgrade or a downgrade instead of running it."""
    warn_of_files(Path(context.script.dir))
    plan = Plan(command["fn"], run.steps)
    from_base = context.get_starting_revision_argument() is None
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # any other would double each %
        literal_binds=True,
        # From another revision on it is the database's to say, and here is none to ask.
        embedding_dim=run.embedding_dim or (DEFAULT_EMBEDDING_DIM if from_base else None),
        fn=plan,
        on_version_apply=plan.record,
        **(_OPTIONS | {"transaction_per_migration": not run.callers_transaction}),
        **run.options,
    )
    if from_base:
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    context.run_migrations()
    if run.steps and not plan.heads:
        for statement in DROP_AT_BASE:
            context.execute(statement)
