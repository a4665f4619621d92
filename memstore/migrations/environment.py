"""What env.py hands over to: runs under `alembic`, under `memstore db`, and from code alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from logging.config import fileConfig
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from alembic import context
from alembic.util import CommandError
from sqlalchemy import text

from ..database import connecting, explained, open_connection
from ..errors import MemstoreError, MigrationError, SchemaMismatchError
from ..models import SCHEMA, Base
from ..settings import Settings, parse_database_url, parse_embedding_dim
from . import autogenerate, ledger, operations
from .lock import held_lock, migration_connection
from .requirements import check_requirements
from .retry import retrying
from .session import migration_session
from .width import DEFAULT_EMBEDDING_DIM, resolve_embedding_dim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext, MigrationInfo, MigrationStep
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

operations.register()

_OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "version_table_schema": SCHEMA,
    "transaction_per_migration": True,
}


@dataclass(slots=True)
class Run:
    """What a caller from code hands to env.py in `Config.attributes`, and gets back from it."""

    settings: Settings
    connection: Connection | None = None
    embedding_dim: int | None = None
    steps: list[ledger.Step] = field(default_factory=list)

    KEY: ClassVar[str] = "memstore"


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
    command = _command_options()
    try:
        if context.is_offline_mode():
            _render(command, run)
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


def _command_options() -> Mapping[str, Any]:
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
            with held_lock(connection):
                _move(connection, command, run, embedding_dim)
        else:
            options = autogenerate.options(embedding_dim)
            context.configure(
                connection=connection, embedding_dim=embedding_dim, dont_mutate=True, **options, **_OPTIONS
            )
            context.run_migrations()


def _move(connection: Connection, command: Mapping[str, Any], run: Run, embedding_dim: int) -> None:
    plan = Plan(command["fn"], run.steps)
    _create_schema(connection)
    try:
        context.configure(
            connection=connection, embedding_dim=embedding_dim, fn=plan, on_version_apply=plan.record, **_OPTIONS
        )
        with explained(connection.engine.url):
            retrying(context.run_migrations, connection, run.settings, lambda: plan.current)
    except SchemaMismatchError as error:
        raise MigrationError(f"{plan.current}: the database is not as its revision says: {error.__cause__}") from error
    finally:
        if not connection.invalidated:
            _drop_schema_at_base(connection)


def _render(command: Mapping[str, Any], run: Run) -> None:
    """Print the SQL of an upgrade or a downgrade instead of running it."""
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
        **_OPTIONS,
    )
    if from_base:
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    context.run_migrations()
    if run.steps and not plan.heads:
        # Older versions of Alembic have dropped the version table by now, newer ones keep it.
        context.execute("SET client_min_messages = warning")
        context.execute(f"DROP TABLE IF EXISTS {SCHEMA}.alembic_version")
        context.execute("RESET client_min_messages")
        context.execute(f"DROP SCHEMA {SCHEMA}")


class Plan:
    """The steps of a run, resolved once: a second attempt goes on where the first stopped, also for `+2`."""

    def __init__(self, resolve: Callable[..., Iterable[MigrationStep]], taken: list[ledger.Step]) -> None:
        self.heads: set[str] = set()
        self._resolve = resolve
        self._taken = taken
        self._todo: list[MigrationStep] | None = None
        self._started = monotonic()

    @property
    def current(self) -> str:
        """The step under way, for messages."""
        return self._todo[0].short_log if self._todo else "nothing"

    def __call__(self, heads: tuple[str, ...], migration_context: MigrationContext) -> Iterator[MigrationStep]:
        """Yield what is left to do; Alembic asks for this at each attempt."""
        if self._todo is None:
            self._todo = list(self._resolve(heads, migration_context))
        while self._todo:
            self._started = monotonic()
            yield self._todo[0]
            del self._todo[0]  # its transaction is committed by now, and not before

    def record(
        self,
        ctx: MigrationContext,
        step: MigrationInfo,
        heads: Collection[Any],
        run_args: Mapping[str, Any],  # noqa: ARG002 -- Alembic passes all four by name
    ) -> None:
        """Write the step that was just taken to the ledger; Alembic calls this before it commits."""
        duration = None if ctx.as_sql else round((monotonic() - self._started) * 1000)
        self._taken.append(ledger.record(ctx, step, heads, duration))
        self.heads = set(heads)


def _create_schema(connection: Connection) -> None:
    """Make room for the version table. `IF NOT EXISTS` alone would ask for a right that is not needed where it is."""
    if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}) is None:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()


def _drop_schema_at_base(connection: Connection) -> None:
    """Leave nothing behind at base: the version table goes, and the schema unless somebody else uses it."""
    connection.rollback()
    versions = connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.alembic_version"})
    if versions is not None and connection.scalar(text(f"SELECT count(*) FROM {SCHEMA}.alembic_version")):
        connection.rollback()
        return
    connection.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.alembic_version"))
    if connection.scalar(_SCHEMA_IS_OURS_AND_EMPTY):
        connection.execute(text(f"DROP SCHEMA {SCHEMA}"))
    connection.commit()


_SCHEMA_IS_OURS_AND_EMPTY = text(f"""
    SELECT true FROM pg_namespace AS n
    WHERE n.nspname = '{SCHEMA}' AND pg_has_role(n.nspowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = n.oid)
""")
