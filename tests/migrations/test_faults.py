"""Runners that are killed, and sessions that are terminated, on their way over every safe operation."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from memstore.migrations.scripts import revisions
from tests.cli.command import done, fetch
from tests.conftest import CreateDatabase
from tests.migrations.operations.checkout import LAST, checkout_with_chain
from tests.support import dump, raw_dsn, run_python

# Alembic's own command, again and again: from head to the last of the chain, and back.
UP_AND_DOWN = f"""
import sys
from alembic import command
from alembic.config import Config

config = Config("alembic.ini")
print("ready", flush=True)
while True:
    command.upgrade(config, "{LAST}")
    command.downgrade(config, "{revisions()[-1]}")
"""
ROWS = (
    "INSERT INTO memstore.tenants (id, name) SELECT gen_random_uuid(), n FROM generate_series(1, 3) AS n",
    """INSERT INTO memstore.memory_nodes (tenant_id, id, content, importance)
       SELECT id, 'mem_' || n, 'memory ' || n, 1 + n % 10 FROM memstore.tenants, generate_series(1, 500) AS n""",
)
LEFT = """
    SELECT (SELECT count(*) FROM pg_index WHERE NOT indisvalid) AS invalid,
           (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks
"""
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'alembic (memstore)' AND datname = current_database()
"""


def test_a_runner_killed_over_safe_operations(create_database: CreateDatabase, tmp_path: Path) -> None:
    Trial(create_database(4), tmp_path, random.Random(1)).run(2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_runner_killed_over_safe_operations_fifty_times(create_database: CreateDatabase, tmp_path: Path) -> None:
    Trial(create_database(4), tmp_path, random.Random(2)).run(50)


class Trial:
    """A database that is killed at, and what it is like where nobody was killed."""

    def __init__(self, url: URL, folder: Path, chance: random.Random) -> None:
        self.url = url
        self.chance = chance
        self.checkout = checkout_with_chain(folder)
        for statement in ROWS:
            fetch(url, statement)
        self.alembic("upgrade", LAST)
        self.top = dump(url)
        began = time.monotonic()
        self.alembic("downgrade", revisions()[-1])
        self.bottom = dump(url)
        self.rows = self.memories()
        self.longest_s = 3 * (time.monotonic() - began)

    def run(self, faults: int) -> None:
        for number in range(faults):
            self.interrupt(by_signal=number % 2 == 0)
            self.alembic("upgrade", LAST)
            assert fetch(self.url, LEFT) == [{"invalid": 0, "locks": 0}]
            assert dump(self.url) == self.top
        self.alembic("downgrade", revisions()[-1])
        assert dump(self.url) == self.bottom
        assert self.memories() == self.rows
        assert done("db", "check", url=self.url).startswith("no differences")

    def interrupt(self, *, by_signal: bool) -> None:
        """End a runner at some moment of its way up and down: the process itself, or its session on the server."""
        runner = subprocess.Popen(
            [sys.executable, "-c", UP_AND_DOWN],
            cwd=self.checkout,
            env={"DATABASE_URL": raw_dsn(self.url)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        time.sleep(self.chance.uniform(0, self.longest_s))
        if by_signal:
            assert runner.poll() is None, runner.communicate()
            runner.kill()
        else:
            while runner.poll() is None and not fetch(self.url, TERMINATE):
                pass
        runner.communicate()

    def alembic(self, *arguments: str) -> None:
        finished = run_python("-m", "alembic", *arguments, url=self.url, cwd=self.checkout)
        assert finished.returncode == 0, finished.stderr

    def memories(self) -> list[dict[str, object]]:
        return fetch(self.url, "SELECT to_jsonb(m) - 'search_vector' AS row FROM memstore.memory_nodes AS m ORDER BY 1")
