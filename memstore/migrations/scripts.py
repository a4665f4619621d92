"""Where the revisions are, in a checkout and in an installed wheel, and an Alembic configuration that finds them."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from ..errors import MigrationError

if TYPE_CHECKING:
    from alembic.script import Script

_PACKAGE = Path(__file__).resolve().parents[1]


def script_location() -> Path:
    """Return the folder with `env.py` and `versions/`: inside the package when installed, else beside it."""
    installed = _PACKAGE / "alembic"
    return installed if installed.is_dir() else _PACKAGE.parent / "alembic"


def is_installed(location: Path) -> bool:
    """Tell whether a folder with revisions is that of an installed memstore, where nobody works on them."""
    return location.resolve() == (_PACKAGE / "alembic").resolve()


def version_location() -> str:
    """Return what a host's `version_locations` name: a resource of the package, or in a checkout a folder."""
    location = script_location()
    return "memstore:alembic/versions" if is_installed(location) else str(location / "versions")


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
    """Return the id of the newest revision that this package ships.

    Raises:
        MigrationError: as `revisions`.
    """
    return revisions()[-1]


@cache
def revisions() -> tuple[str, ...]:
    """Return the ids of all revisions that this package ships, oldest first.

    Raises:
        MigrationError: there are none, one that another comes after has no file, one has two, or one cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # All that Alembic says of these, before it fails by something that names neither.
            warnings.filterwarnings("error", r"Revision .* is (not present|present more than once)", UserWarning)
            found = tuple(script.revision for script in reversed(list(script_directory().walk_revisions())))
    except (UserWarning, CommandError, RevisionError, SyntaxError) as error:
        raise MigrationError(f"the revisions cannot be read: {error}. Run: memstore db verify") from error
    if not found:
        versions = script_location() / "versions"
        raise MigrationError(f"found no revision in {versions}, needed those of memstore. Run: memstore db verify")
    return found


def checksum(script: Script) -> str:
    """Return the sha256 of a revision file in hex, over its text with line endings as LF."""
    text = Path(script.path).read_text(encoding="utf-8")  # universal newlines
    return hashlib.sha256(text.encode()).hexdigest()
