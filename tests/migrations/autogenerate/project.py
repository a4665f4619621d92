"""Another project with its own Alembic: its env.py is the one that docs/autogenerate.md shows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import alembic
from alembic import command
from alembic.config import Config
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Integer, MetaData, Table, Text
from sqlalchemy.engine import URL
from sqlalchemy.schema import SchemaItem

from memstore.database import create_engine
from memstore.migrations.autogenerate import RowLevelSecurity, row_level_security
from memstore.migrations.lint import lint_revisions
from tests.support import ROOT, run_in_thread

TEMPLATE = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
DOCUMENTED = ROOT / "docs" / "autogenerate.md"

LOOK = "\ncontext.configure("  # where the documented env.py begins to look

OFFLINE_INI = """[alembic]
script_location = %(here)s/offline
version_locations = %(here)s/versions
path_separator = os
"""
OFFLINE_ENV = """from alembic import context

from memstore.migrations import autogenerate

autogenerate.setup()
context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""

# A run with nothing to do does not leave it behind, and would look like one that undoes less than it did.
VERSION_TABLE = """CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""

Diff = tuple[str, str]


def documented_env() -> str:
    """The first block of Python in the documentation."""
    found = re.search(r"```python\n(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@dataclass
class Project:
    folder: Path
    url: URL
    env: str = field(default_factory=documented_env)
    below: str = "base"  # the revision under the last ones that were written

    def __post_init__(self) -> None:
        if not self.folder.exists():
            (self.folder / "versions").mkdir(parents=True)
            (self.folder / "env.py").write_text(self.env, encoding="utf-8")
            shutil.copy(TEMPLATE, self.folder)
            self.execute(VERSION_TABLE)

    def run(self, metadata: MetaData, step: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Run an Alembic command in this process. This project has no driver but asyncpg."""

        async def connected() -> None:
            engine = create_engine(self.url)
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(lambda sync: step(self._config(sync, metadata), *arguments, **options))
            finally:
                await engine.dispose()

        run_in_thread(connected())

    def autogenerate(self, metadata: MetaData, name: str) -> list[Diff]:
        """Write a revision of what is to be done, unless there is nothing; return what it does."""
        found: list[Diff] = []

        def look(context: Any, _revision: Any, directives: list[Any]) -> None:
            operations = directives[0].upgrade_ops
            found.extend(short(diff) for diff in operations.as_diffs())
            if found:
                self.below = context.environment_context.script.get_current_head() or "base"
            else:
                del directives[:]

        self.run(
            metadata, command.revision, autogenerate=True, rev_id=name, message=name, process_revision_directives=look
        )
        return found

    def upgrade(self, metadata: MetaData) -> None:
        self.run(metadata, command.upgrade, "head")

    def downgrade(self, metadata: MetaData, to: str | None = None) -> None:
        """Undo what was written last, however many revisions that is; or go down to one of them."""
        self.run(metadata, command.downgrade, to or self.below)

    def revisions(self, name: str) -> list[str]:
        """Return the texts of the revisions that were written at once, in their order."""
        paths = (self.folder / "versions").glob(f"{name}_*.py")
        ordered = sorted(paths, key=lambda path: (path.stem != f"{name}_{name}", path.stem))
        return [path.read_text(encoding="utf-8") for path in ordered]

    def lint(self, name: str) -> set[str]:
        """Return the codes of what the linter finds in the revisions that were written at once, and in their SQL."""
        (self.folder / "offline").mkdir(exist_ok=True)
        (self.folder / "offline" / "env.py").write_text(OFFLINE_ENV, encoding="utf-8")
        ini = self.folder / "alembic.ini"
        ini.write_text(OFFLINE_INI, encoding="utf-8")
        ids = [found[1] for each in self.revisions(name) if (found := re.search(r"^revision.* = '(.*)'", each, re.M))]
        return {each.code for each in lint_revisions(ids, config=ini).findings}

    def execute(self, *statements: str) -> None:
        async def connected() -> None:
            engine = create_engine(self.url)
            try:
                async with engine.begin() as connection:
                    for statement in statements:
                        await connection.exec_driver_sql(statement)
            finally:
                await engine.dispose()

        run_in_thread(connected())

    def _config(self, connection: Any, metadata: MetaData) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self.folder))
        config.set_main_option("path_separator", "os")
        config.attributes.update(connection=connection, metadata=metadata)
        return config


def short(diff: Any) -> Diff:
    """Return what a diff does and to what, without the objects that it carries."""
    if isinstance(diff, list):
        return str(diff[0][0]), str(diff[0][3])
    verb, *rest = diff
    if verb.endswith(("_policy", "_row_level_security")):
        return verb, ".".join(rest[1:] if verb.endswith("_policy") else rest).strip(".")
    last = rest[-1]
    return str(verb), last if isinstance(last, str) else str(getattr(last, "name", last))


def notes(*parts: SchemaItem, security: RowLevelSecurity | None = None) -> MetaData:
    """The models of a project with one table, to which `parts` come."""
    metadata = MetaData()
    info = {} if security is None else row_level_security(*security.policies)
    columns = (Column("id", Integer, primary_key=True), Column("body", Text), Column("embedding", VECTOR(3)))
    Table("notes", metadata, *columns, *parts, info=dict(info))
    return metadata
