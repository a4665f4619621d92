"""The project whose revisions are linted: memstore itself, or whatever an alembic.ini names."""

from __future__ import annotations

import sys
import tomllib
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from ...errors import MigrationError
from ..scripts import make_config, script_location
from .context import DISTANCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.script import Script

_MARKS = ("alembic.ini", "pyproject.toml", "setup.py", "setup.cfg", ".git")


@dataclass(frozen=True, slots=True)
class Options:
    """What `[tool.memstore.lint]` in a pyproject.toml says: `distance`, `tests` (a folder beside it), `ignore`."""

    distance: str | None = None
    tests: Path | None = None
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """Revisions as Alembic finds them. `own`: they are memstore's."""

    config: Config
    script: ScriptDirectory
    root: Path
    own: bool

    @property
    def env(self) -> Path:
        """The file env.py."""
        return Path(self.script.dir) / "env.py"

    def revisions(self) -> list[Script]:
        """Return all revisions, oldest first; without memstore's where a host has them among its own."""
        return self._theirs(reversed(list(self.script.walk_revisions())))

    def between(self, target: str) -> list[Script]:
        """Return the revisions of an id or of a range `A:B` (those after A up to B), oldest first.

        Raises:
            MigrationError: there is no such revision.
        """
        start, colon, end = target.partition(":")
        try:
            if not colon:
                listed = self.script.get_revisions(target)
            else:
                listed = tuple(reversed(list(self.script.iterate_revisions(end or "heads", start or "base"))))
                if not listed and not self._at(start or "base") <= self._at(end or "heads"):
                    raise MigrationError(
                        f"no revision is after {start or 'base'} up to {end or 'heads'}: the one does not lead to the "
                        "other. Needed: a range A:B with A before B"
                    )
        except (CommandError, RevisionError, AssertionError) as error:
            # The last without a word, where B only depends on what comes after A.
            why = str(error) or f"there is no range {target}: the one does not lead to the other"
            raise MigrationError(f"{why}. Needed: an id, a range A:B, or the path of a file or a folder") from error
        found = [each for each in listed if each is not None]
        theirs = self._theirs(found)
        if found and not theirs:
            raise MigrationError(
                f"{target} is memstore's own, which is linted without --config: memstore db lint {target}"
            )
        return theirs

    @property
    def has_guests(self) -> bool:
        """Whether memstore's revisions are among those of a host."""
        return len(self.revisions()) < len(list(self.script.walk_revisions()))

    def _at(self, name: str) -> set[str]:
        return {each.revision for each in self.script.get_revisions(name) if each is not None}

    def _theirs(self, scripts: Iterable[Script]) -> list[Script]:
        ours = script_location().resolve()
        return [each for each in scripts if self.own or not Path(each.path).resolve().is_relative_to(ours)]


def own_project() -> Project:
    """Return memstore's own revisions, of a checkout or of the installed package."""
    return _project(make_config(), script_location().parent, own=True)


def project_of(path: Path) -> Project:
    """Return the project of an alembic.ini, or of a pyproject.toml with [tool.alembic]; memstore's may be it.

    Raises:
        MigrationError: it is not there, or Alembic cannot read its revisions.
    """
    if not path.is_file():
        raise MigrationError(f"no file {path}. Needed: the alembic.ini of a project, --config PATH")
    toml = path.suffix == ".toml"
    config = Config(toml_file=path) if toml else Config(path)
    found = _project(config, path.resolve().parent, own=False)
    return own_project() if Path(found.script.dir).resolve() == script_location().resolve() else found


def _project(config: Config, root: Path, *, own: bool) -> Project:
    try:
        with redirect_stdout(sys.stderr):
            script = ScriptDirectory.from_config(config)
            list(script.walk_revisions())
    except Exception as error:  # Alembic imports each file, which may raise anything
        raise MigrationError(
            f"Alembic cannot read the revisions of {root}: {type(error).__name__}: {error}. "
            "Relative paths in it start from the current folder, as for alembic itself. "
            "Files can be linted without it: memstore db lint PATH"
        ) from error
    return Project(config, script, root, own)


@contextmanager
def kept_path() -> Iterator[None]:
    """Put sys.path back in the end, to which Alembic adds what `prepend_sys_path` says."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def root_of(path: Path) -> Path:
    """Return the folder of the project that a file is in, told by what lies beside; else its own folder."""
    folders = list(path.resolve().parents)
    return next((each for each in folders if any((each / mark).exists() for mark in _MARKS)), folders[0])


def options_of(root: Path) -> Options:
    """Return what `[tool.memstore.lint]` says in the pyproject.toml of a folder.

    Raises:
        MigrationError: it says something else than it may.
    """
    path = root / "pyproject.toml"
    if not path.is_file():
        return Options()
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise MigrationError(f"{path}: {error}") from error
    said = table.get("memstore", {}).get("lint", {})
    unknown = said.keys() - {"distance", "tests", "ignore"}
    if unknown:
        raise MigrationError(
            f"{path}: [tool.memstore.lint] has {', '.join(sorted(unknown))}; known: distance, ignore, tests"
        )
    tests = said.get("tests")
    return Options(
        checked_distance(said.get("distance")), root / tests if tests else None, tuple(said.get("ignore", ()))
    )


def checked_distance(distance: str | None) -> str | None:
    """Return a distance as it is.

    Raises:
        MigrationError: it is none that pgvector has.
    """
    if distance is not None and distance not in DISTANCES:
        raise MigrationError(f"no distance {distance!r}. There are: {', '.join(DISTANCES)}")
    return distance
