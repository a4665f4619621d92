from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from memstore.errors import MigrationError
from tests.migrations.operations.revision import Project

SYNCHRONOUS = """
from alembic import context
from sqlalchemy import create_engine, pool

from memstore.migrations.operations import register

register()
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
ASYNCHRONOUS = """
import asyncio

from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

from memstore.migrations.operations import register

register()


def migrate(connection):
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def run():
    url = context.config.get_main_option("sqlalchemy.url")
    async with create_async_engine(url, poolclass=pool.NullPool).connect() as connection:
        await connection.run_sync(migrate)


asyncio.run(run())
"""
FIRST = """
from alembic import op

revision, down_revision = "first", None


def upgrade():
    op.create_index_concurrently("ix_first", "notes", ["author"])
"""
SECOND = """
from alembic import op

revision, down_revision = "second", "first"


def upgrade():
    op.execute("UPDATE notes SET length = 1 WHERE id = 1")
    op.create_index_concurrently("ix_second", "notes", ["author"])
"""


@pytest.mark.parametrize(
    ("driver", "environment"),
    [("psycopg", SYNCHRONOUS), ("asyncpg", ASYNCHRONOUS)],
    ids=["psycopg", "asyncpg"],
)
def test_the_first_revision_of_a_database_may_commit(
    project: Project, tmp_path: Path, driver: str, environment: str
) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(environment)
    (tmp_path / "versions" / "first.py").write_text(FIRST)
    (tmp_path / "versions" / "second.py").write_text(SECOND)
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    url = project.url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    with pytest.raises(MigrationError, match="before it this revision has changed something"):
        command.upgrade(config, "head")
    assert project.ask("SELECT version_num FROM alembic_version") == [("first",)]
    assert project.ask("SELECT indexrelid::regclass::text FROM pg_index WHERE indexrelid = 'ix_first'::regclass") == [
        ("ix_first",)
    ]
