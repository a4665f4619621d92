from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time

import pytest
from sqlalchemy.engine import URL

from memstore.migrations import upgrade
from tests.conftest import CreateDatabase
from tests.support import ROOT, dump, raw_dsn

UP_AND_DOWN = """
import asyncio, sys
from memstore.migrations import downgrade, upgrade

async def main():
    print("ready", flush=True)
    while True:
        await upgrade(sys.argv[1], embedding_dim=4)
        await downgrade(sys.argv[1], "base")

asyncio.run(main())
"""


def test_a_killed_runner_is_followed_by_one_that_finishes(create_database: CreateDatabase) -> None:
    kill_and_finish(create_database(None), expected=dump(create_database(4)), kills=3, chance=random.Random(1))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_runner_killed_fifty_times(create_database: CreateDatabase) -> None:
    kill_and_finish(create_database(None), expected=dump(create_database(4)), kills=50, chance=random.Random(2))


def kill_and_finish(url: URL, expected: list[str], kills: int, chance: random.Random) -> None:
    for _ in range(kills):
        runner = subprocess.Popen(
            [sys.executable, "-c", UP_AND_DOWN, raw_dsn(url)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.4))
        runner.kill()
        runner.communicate()
        asyncio.run(upgrade(url, embedding_dim=4))
        assert dump(url) == expected
