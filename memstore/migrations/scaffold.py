"""Beginning a new revision of memstore: its id, its file, what it replaces, and its test."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic import command
from alembic.util import CommandError

from ..database import connecting, explained, open_connection
from ..errors import MigrationError
from ..settings import Settings
from .catalog import shipped_catalog
from .catalog.statements import create, drop
from .environment import Run
from .revision_ids import next_revision_id
from .scripts import head, make_config, script_location

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.config import Config
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
# As it is from this revision on. CREATE OR REPLACE takes no other columns for a view, nor other arguments or another
# result for a function: then DROP it first, both ways. The grants on it go along: memstore db grant.
AFTER = {after}

# As it was before: frozen, for the way down.
BEFORE = {before}


def upgrade() -> None:
    for statement in AFTER:
        op.execute(statement)


def downgrade() -> None:
    for statement in BEFORE:
        op.execute(statement)
"""


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What was begun: the id of a revision, its file, and the file of its test."""

    revision: str
    path: Path
    test_path: Path


async def new_revision(
    message: str, *, autogenerate_from: AsyncEngine | URL | str | None = None, replace: str | None = None
) -> NewRevision:
    """Begin a revision on top of head, in the checkout that this package runs from.

    Args:
        message: what it does, in a few words; its id is made of it.
        autogenerate_from: a database at head, with which the models are compared; the revision then holds what they
            have more, or less.
        replace: a function, view, trigger or policy that the revision will replace, by its name where that is unique
            or as `memstore db check` names it. Its text stands in the file twice: to edit, and frozen for the way down.

    Raises:
        MigrationError: there is no checkout, the message makes no id, the database is not at head, or nothing, or more
            than one thing, is called `replace`. Nothing was written.
    """
    tests = script_location().parent / "tests" / "migrations" / "revisions"
    if not tests.is_dir():
        raise MigrationError(
            f"{script_location()} belongs to an installed memstore, whose revisions are released. Work in a checkout "
            "of memstore; for your own tables, run: alembic revision"
        )
    revision = next_revision_id(message)
    if '"""' in message or "\\" in message:
        raise MigrationError(f"the message {message!r} cannot stand in a docstring. Leave out quotes and backslashes")
    statements = _replaced(replace) if replace is not None else None
    config = make_config()
    config.set_main_option("file_template", "%%(rev)s")
    config.cmd_opts = Namespace(quiet=True, x=None)  # else it prints what it generates
    if autogenerate_from is None:
        _write(config, message, revision, autogenerate=False)
    else:
        async with connecting(autogenerate_from) as engine, open_connection(engine) as connection:
            with explained(engine.url):
                await connection.run_sync(_autogenerate, config, message, revision)
    path = script_location() / "versions" / f"{revision}.py"
    if statements is not None:
        _replace_bodies(path, statements)
    test_path = tests / f"test_{revision}.py"
    test_path.write_text(_TEST.format(revision=revision), encoding="utf-8")
    return NewRevision(revision, path, test_path)


def _autogenerate(connection: Connection, config: Config, message: str, revision: str) -> None:
    config.attributes[Run.KEY] = Run(Settings(), connection=connection)
    _write(config, message, revision, autogenerate=True)


def _write(config: Config, message: str, revision: str, *, autogenerate: bool) -> None:
    try:
        command.revision(config, message=message, rev_id=revision, autogenerate=autogenerate)
    except CommandError as error:
        raise MigrationError(f"no revision was begun: {error} Run: memstore db status") from error


def _replaced(name: str) -> tuple[str, ...]:
    """Return the statements that make the object of that name as it is at head."""
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
    making = create(each, {**objects[each], "comment": ""})[:-1]
    return (*drop(each, objects[each]), *making) if each.kind == "policy" else tuple(making)


def _names(each: DbObject) -> set[str]:
    bare = each.name.partition("(")[0]
    return {str(each), bare, bare.removeprefix("memstore.")}


def _replace_bodies(path: Path, statements: tuple[str, ...]) -> None:
    text = path.read_text(encoding="utf-8")
    literal = "(\n" + "".join(f"    {_literal(statement)},\n" for statement in statements) + ")"
    beginning = re.sub(r"^(import sqlalchemy|from sqlalchemy).*\n", "", text[: text.index("def upgrade()")], flags=re.M)
    path.write_text(f"{beginning.rstrip()}\n\n{_REPLACING.format(after=literal, before=literal)}", encoding="utf-8")


def _literal(statement: str) -> str:
    prefix = "r" if "\\" in statement else ""
    return f'{prefix}"""\n{statement.strip()}\n"""' if "\n" in statement else repr(statement)
