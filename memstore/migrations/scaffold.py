"""Beginning a new revision of memstore: its id, its file, what it replaces, and its test."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.util import CommandError

from ..database import connecting, explained, open_connection
from ..errors import MigrationError
from ..settings import Settings
from .catalog import shipped_catalog
from .catalog.statements import create
from .environment import Run
from .revision_ids import next_revision_id
from .scripts import head, make_config, script_location

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.operations.ops import MigrationScript
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .catalog import DbObject

_REPLACEABLE = ("function", "view", "trigger", "policy")

_TEST = """from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import MEMORIES, Case, walk

CASE = Case(
    revision="{revision}",
    before=MEMORIES,
    after=(),  # rows that only this revision can hold
    adds=(),  # the relations, and with () the functions, that it adds
    answers=(),  # queries that fail without it, each with its rows
)


async def test_rows_stay_on_the_way_up_down_and_up(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
"""

_REPLACING = """\
# As it is from this revision on. Owner, grants and comments stay.
AFTER = {statement}

# As it was before: frozen, for the way down, and what has to be there on the way up.
BEFORE = {statement}


def upgrade() -> None:
    op.replace_{kind}(AFTER, before=BEFORE)


def downgrade() -> None:
    op.replace_{kind}(BEFORE, before=AFTER)
"""


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What was begun: the id of a revision, its file, and the file of its test."""

    revision: str
    path: Path
    test_path: Path


async def new_revision(message: str, *, replace: str | None = None) -> NewRevision:
    """Begin a revision on top of head, in the checkout that this package runs from.

    Args:
        message: what it does, in a few words; its id is made of it.
        replace: a function, view, trigger or policy that the revision will replace, by its name where that is unique
            or as `memstore db check` names it. Its text stands in the file twice: to edit, and frozen for the way down.

    Raises:
        MigrationError: there is no checkout, the message makes no id, or nothing, or more than one thing, is called
            `replace`. Nothing was written.
    """
    tests = _folder_of_tests(message)
    revision = next_revision_id(message)
    replaced = _replaced(replace) if replace is not None else None
    (begun,) = _write(_config(), tests, message, revision, autogenerate=False)
    if replaced is not None:
        _replace_bodies(begun.path, *replaced)
    return begun


async def generate_revisions(message: str, target: AsyncEngine | URL | str) -> tuple[NewRevision, ...]:
    """Begin what brings a database at head to what the models say, on top of head, in this checkout.

    They are several where some operations commit and others share a transaction, and none where nothing differs.

    Args:
        message: what they do, in a few words; their ids are made of it.
        target: the database, with which the models are compared.

    Raises:
        MigrationError: there is no checkout, the message makes no id, or the database is not at head. Nothing was
            written.
    """
    tests = _folder_of_tests(message)
    config, revision = _config(), next_revision_id(message)

    def generate(connection: Connection) -> tuple[NewRevision, ...]:
        config.attributes[Run.KEY] = Run(Settings(), connection=connection)
        return _write(config, tests, message, revision, autogenerate=True)

    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            return await connection.run_sync(generate)


def _folder_of_tests(message: str) -> Path:
    """Return where the tests of revisions are, once it is clear that a revision with that message can be begun."""
    tests = script_location().parent / "tests" / "migrations" / "revisions"
    if not tests.is_dir():
        raise MigrationError(
            f"{script_location()} belongs to an installed memstore, whose revisions are released. Work in a checkout "
            "of memstore; for your own tables, run: alembic revision"
        )
    if '"""' in message or "\\" in message:
        raise MigrationError(f"the message {message!r} cannot stand in a docstring. Leave out quotes and backslashes")
    return tests


def _config() -> Config:
    config = make_config()
    config.set_main_option("file_template", "%%(rev)s")
    config.cmd_opts = Namespace(quiet=True, x=None)  # else it prints what it generates
    return config


def _write(config: Config, tests: Path, message: str, revision: str, *, autogenerate: bool) -> tuple[NewRevision, ...]:
    only_what_differs = _leave_out_empty if autogenerate else None
    try:
        written = command.revision(
            config,
            message=message,
            rev_id=revision,
            autogenerate=autogenerate,
            process_revision_directives=only_what_differs,
        )
    except CommandError as error:
        raise MigrationError(f"no revision was begun: {error} Run: memstore db status") from error
    begun = []
    for script in written if isinstance(written, list) else [written]:
        if script is None:
            raise TypeError("Alembic wrote no revision")
        test_path = tests / f"test_{script.revision}.py"
        test_path.write_text(_TEST.format(revision=script.revision), encoding="utf-8")
        begun.append(NewRevision(script.revision, Path(script.path), test_path))
    return tuple(begun)


def _leave_out_empty(_context: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
    """Leave out a revision that would do nothing."""
    directives[:] = [each for each in directives if each.upgrade_ops is None or not each.upgrade_ops.is_empty()]


def _replaced(name: str) -> tuple[str, str]:
    """Return what the object of that name is, and the statement that makes it as it is at head."""
    objects = shipped_catalog(head(), embedding_dim=1).objects
    fitting = [each for each in objects if each.kind in _REPLACEABLE and name in _names(each)]
    if len(fitting) != 1:
        among = "; ".join(map(str, fitting)) or ", ".join(
            sorted(
                {each.name.partition("(")[0].removeprefix("memstore.") for each in objects if each.kind in _REPLACEABLE}
            )
        )
        found = f"{len(fitting)} objects are" if fitting else "no function, view, trigger or policy is"
        raise MigrationError(f"{found} called {name!r}. Name one of: {among}")
    (each,) = fitting
    return each.kind, create(each, {**objects[each], "comment": ""})[0]


def _names(each: DbObject) -> set[str]:
    bare = each.name.partition("(")[0]
    return {str(each), bare, bare.removeprefix("memstore.")}


def _replace_bodies(path: Path, kind: str, statement: str) -> None:
    text = path.read_text(encoding="utf-8")
    beginning = re.sub(r"^(import sqlalchemy|from sqlalchemy).*\n", "", text[: text.index("def upgrade()")], flags=re.M)
    ending = _REPLACING.format(kind=kind, statement=_literal(statement))
    path.write_text(f"{beginning.rstrip()}\n\n{ending}", encoding="utf-8")


def _literal(statement: str) -> str:
    prefix = "r" if "\\" in statement else ""
    return f'{prefix}"""\n{statement.strip()}\n"""' if "\n" in statement else repr(statement)
