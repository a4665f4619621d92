from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import downgrade
from tests.cli.command import PLAIN
from tests.support import ROOT, raw_dsn

BELOW, BUILDS = "0016_migration_repairs", "0017_closed_sessions_index"
OPERATION, INDEX = "create_index_concurrently", "memstore.ix_sessions_updated_at"


def begin_upgrade(url: URL, *arguments: str, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "memstore", "db", "upgrade", BUILDS, *arguments]
    environment = os.environ | PLAIN | {"DATABASE_URL": raw_dsn(url), "TERM": "xterm"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


async def test_on_a_terminal_it_shows_what_it_does_and_who_is_in_its_way(seeded: AsyncEngine, url: URL) -> None:
    await downgrade(seeded, BELOW)
    terminal, other_end = pty.openpty()
    async with seeded.connect() as writer:
        pid = await writer.scalar(text("SELECT pg_backend_pid() FROM memstore.sessions FOR UPDATE LIMIT 1"))
        running = begin_upgrade(url, stdout=subprocess.DEVNULL, stderr=other_end)
        os.close(other_end)
        shown = ""
        while f"waiting for pid {pid}" not in shown:
            shown += os.read(terminal, 4096).decode()
        await writer.rollback()
    assert f"{OPERATION} {INDEX}" in shown
    assert running.wait() == 0
    os.close(terminal)


async def test_for_programs_it_prints_an_event_a_line(seeded: AsyncEngine, url: URL) -> None:
    await downgrade(seeded, BELOW)
    async with seeded.connect() as writer:
        pid = await writer.scalar(text("SELECT pg_backend_pid() FROM memstore.sessions FOR UPDATE LIMIT 1"))
        running = begin_upgrade(url, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stdout is not None
        blocked: list[dict[str, object]] = []
        while not blocked:
            event = json.loads(running.stdout.readline())
            assert (event["event"], event["operation"], event["target"]) == ("progress", OPERATION, INDEX)
            blocked = event["blocked_by"]
        assert [each["pid"] for each in blocked] == [pid]
        await writer.rollback()
    rest, complaints = running.communicate()
    last = json.loads(rest.splitlines()[-1])
    assert (last["event"], [step["revision"] for step in last["steps"]]) == ("done", [BUILDS])
    assert (running.returncode, complaints) == (0, b"")
