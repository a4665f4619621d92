from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.import_corpus import make_corpus
from memstore.database import create_engine
from memstore.store import NewUser, create_user
from tests.conftest import CreateDatabase
from tests.support import raw_dsn

NODES = 1_000_000
LIMIT = 2 * 2**30
PEAK = "import resource, sys; from memstore.cli.app import app; app(sys.argv[1:], standalone_mode=False); " + (
    "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
async def test_a_million_nodes_need_less_than_two_gib(create_database: CreateDatabase, tmp_path: Path) -> None:
    make_corpus(tmp_path, NODES, 4)
    url = create_database(4)
    engine = create_engine(url)
    user_id, _ = await create_user(engine, NewUser("ines@example.com"))
    await engine.dispose()
    command = [sys.executable, "-c", PEAK, "import", "corpus", str(tmp_path), "--user-id", str(user_id)]
    done = subprocess.run(
        command, env=os.environ | {"DATABASE_URL": raw_dsn(url)}, capture_output=True, text=True, check=True
    )
    summary, *_, peak = done.stdout.splitlines()  # between them, what became of the index
    assert summary.startswith("1,000,000 read, 1,000,000 inserted, 0 already there")
    vectors = (tmp_path / "vectors" / "nodes.npy").stat().st_size
    assert int(peak.removeprefix("peak ")) - vectors < LIMIT, peak
