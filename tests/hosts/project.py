"""A toy host: an application with a `users` table, models and an Alembic history of its own."""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL

from memstore.migrations.proxies import kept_proxies
from memstore.migrations.scripts import version_location
from tests.support import ROOT

DOCS = (ROOT / "docs" / "embedding.md").read_text()

MODELS = """
from sqlalchemy import MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
"""

USERS = '''"""Users."""

import sqlalchemy as sa
from alembic import op

revision = "a1_users"
down_revision = None
branch_labels = ("app",)


def upgrade():
    op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, nullable=False))


def downgrade():
    op.drop_table("users")
'''

# Depends on memstore.
AFTER = '''"""Reads the settings of the session when ours are done."""
from alembic import op

revision = "b2_after"
down_revision = "a1_users"
depends_on = "0003_agents_sessions"


def upgrade():
    op.execute("CREATE TABLE seen AS SELECT current_setting('lock_timeout') wait, current_setting('search_path') path")


def downgrade():
    op.execute("DROP TABLE seen")
'''

# What `alembic init --template async` writes, made shorter, and the same for a sync driver.
ASYNC_ENV = """
import asyncio

from alembic import context
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from models import Base

url = context.config.get_main_option("sqlalchemy.url")


def migrate(connection):
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with create_async_engine(url, poolclass=NullPool).connect() as connection:
        await connection.run_sync(migrate)


if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(main())
"""
SYNC_ENV = (
    ASYNC_ENV.replace("from sqlalchemy.ext.asyncio import create_async_engine", "from sqlalchemy import create_engine")
    .replace("async def", "def")
    .replace("async with create_async_engine", "with create_engine")
    .replace("await connection.run_sync(migrate)", "migrate(connection)")
    .replace("asyncio.run(main())", "main()")
)
ENVS = {"psycopg": SYNC_ENV, "asyncpg": ASYNC_ENV}

INI = "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"


def shown(mode: int, language: str, first: str) -> str:
    """Return the code block of docs/embedding.md, in the section of a mode, that begins with the line `first`."""
    section = re.split(r"^## ", DOCS, flags=re.MULTILINE)[mode]
    assert section.startswith(f"{mode}. ")
    (block,) = (each for each in re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL) if each.startswith(first))
    return str(block)


def version_locations() -> str:
    """Return the alembic.ini of docs/embedding.md for a checkout, where the revisions are not in the package."""
    return shown(3, "ini", "# alembic.ini").replace("memstore:alembic/versions", version_location())


@dataclass
class Host:
    """A host project in a folder, and the URL of its database as its own driver takes it."""

    folder: Path
    url: URL

    @classmethod
    def create(cls, folder: Path, url: URL, driver: str, *, env: str, ini: str = INI, **revisions: str) -> Host:
        """Write the project; `revisions` come after that of the users table."""
        versions = folder / "migrations" / "versions"
        versions.mkdir(parents=True)
        host = cls(folder, url.set(drivername=f"postgresql+{driver}"))
        rendered = host.url.render_as_string(hide_password=False).replace("%", "%%")
        (folder / "models.py").write_text(MODELS)
        (folder / "alembic.ini").write_text(f"{ini}prepend_sys_path = .\nsqlalchemy.url = {rendered}\n")
        (folder / "migrations" / "env.py").write_text(env)
        (folder / "migrations" / "script.py.mako").write_text((ROOT / "alembic" / "script.py.mako").read_text())
        for name, source in {"a1_users": USERS, **revisions}.items():
            (versions / f"{name}.py").write_text(source)
        return host

    def config(self, *x: str) -> Config:
        """Return what Alembic's commands take in this process; `x` is what follows each -x."""
        config = Config(self.folder / "alembic.ini", cmd_opts=argparse.Namespace(x=list(x)))
        config.set_main_option("prepend_sys_path", str(self.folder))
        return config

    def upgrade(self, to: str = "head", *x: str) -> None:
        command.upgrade(self.config(*x), to)

    def downgrade(self, to: str, *x: str) -> None:
        command.downgrade(self.config(*x), to)

    def sql(self, to: str, step: Callable[..., None] = command.upgrade, *x: str) -> str:
        """Return what `alembic upgrade --sql` prints, or another command."""
        config = self.config(*x)
        config.output_buffer = io.StringIO()
        with kept_proxies():  # as at the end of a process: a run that failed leaves its own behind
            step(config, to, sql=True)
        return config.output_buffer.getvalue()

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement on the database, commit, and return its rows."""
        engine = create_engine(self.url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    def in_clean_environment(self, *command: str | Path) -> str:
        """Run a program of the virtual environment, and return what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment | {"DATABASE_URL": self.url.render_as_string(hide_password=False)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def alembic(self, python: Path, *lines: str) -> list[str]:
        """Run command lines of Alembic in a virtual environment, and return what each of them printed."""
        return self.in_clean_environment(python, "-c", _RUNNER, *lines).split("\0")[:-1]


# Each as its own process would take a second for imports alone.
_RUNNER = """
import shlex, sys
from contextlib import redirect_stderr
from alembic.config import main

with redirect_stderr(sys.stdout):
    for line in sys.argv[1:]:
        try:
            main(shlex.split(line))
        except SystemExit as exit:
            print(f"exit {exit.code}")
        print(end="\\0", flush=True)
"""
