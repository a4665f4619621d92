"""Where the revisions are, in a checkout and in an installed wheel, and an Alembic configuration that finds them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.script import ScriptDirectory

from ..errors import MigrationError

if TYPE_CHECKING:
    from alembic.script import Script

_PACKAGE = Path(__file__).resolve().parents[1]


def script_location() -> Path:
    """Return the folder with `env.py` and `versions/`: inside the package when installed, else beside it."""
    installed = _PACKAGE / "alembic"
    return installed if installed.is_dir() else _PACKAGE.parent / "alembic"


def version_location() -> str:
    """Return what a host's `version_locations` name: a resource of the package, or in a checkout a folder."""
    location = script_location()
    return "memstore:alembic/versions" if location.parent == _PACKAGE else str(location / "versions")


def make_config() -> Config:
    """Return an Alembic configuration for memstore's own revisions, independent of any alembic.ini."""
    config = Config()
    # ConfigParser interpolates: a % in a path would break it.
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def script_directory() -> ScriptDirectory:
    """Return memstore's revisions as Alembic sees them."""
    return ScriptDirectory.from_config(make_config())


@cache
def head() -> str:
    """Return the id of the newest revision that this package ships."""
    return revisions()[-1]


@cache
def revisions() -> tuple[str, ...]:
    """Return the ids of all revisions that this package ships, oldest first.

    Raises:
        MigrationError: one that another comes after has no file.
    """
    try:
        return tuple(script.revision for script in reversed(list(script_directory().walk_revisions())))
    except KeyError as error:  # all that Alembic says of a revision whose file is missing
        raise MigrationError(f"the file of revision {error} is missing. Run: memstore db verify") from error


def checksum(script: Script) -> str:
    """Return the sha256 of a revision file in hex, over its text with line endings as LF."""
    text = Path(script.path).read_text(encoding="utf-8")  # universal newlines
    return hashlib.sha256(text.encode()).hexdigest()
