from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.migrations.progress import Blocker, NowAndThen, Progress, Rate
from memstore.settings import Settings
from tests.migrations.operations.revision import Project
from tests.support import ROOT, Server

VECTORS = (
    "CREATE TABLE things (id int, embedding vector(48))",
    """INSERT INTO things SELECT n / 48, array_agg(random())::vector
       FROM generate_series(48, 48 * 6000 - 1) AS n GROUP BY 1""",
)
ONE_MEGABYTE = Settings(maintenance_work_mem="1MB")


def build_graph(op: Any) -> None:
    op.create_index_concurrently("ix_graph", "things", ["embedding"], using="hnsw", ops={"embedding": "vector_l2_ops"})


def check_told(told: list[Progress]) -> None:
    """The phases of a build come with how much of them is done, and the graph that does not fit with advice."""
    assert {(each.operation, each.target) for each in told} == {("create_index_concurrently", "ix_graph")}
    counted = [each for each in told if each.phase == "building index: loading tuples"]
    assert counted
    assert all(each.total and each.unit == "blocks" for each in counted)
    assert any(0 < (each.percent or 0) < 100 for each in counted)
    assert any(each.eta_s is not None for each in counted)
    (advised,) = [each.advice for each in told if each.advice]
    assert "no longer fits into maintenance_work_mem (1MB)" in advised
    assert "MEMSTORE_MAINTENANCE_WORK_MEM=" in advised


def test_a_build_tells_how_far_it_is(project: Project) -> None:
    project.run(*VECTORS)
    project.migrate(build_graph, ONE_MEGABYTE)
    check_told(project.progress)


async def test_a_build_on_asyncpg_tells_how_far_it_is(project: Project) -> None:
    project.run(*VECTORS)
    engine: AsyncEngine = create_engine(project.url)
    async with engine.connect() as connection:
        await connection.run_sync(project.migrate_on, build_graph, ONE_MEGABYTE)
    await engine.dispose()
    check_told(project.progress)


def test_a_build_that_nobody_can_watch_goes_on(
    project: Project, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    project.run(*VECTORS)
    with project.engine.connect() as connection:
        server.execute(f"ALTER DATABASE {project.url.database} ALLOW_CONNECTIONS false")
        project.migrate_on(connection, build_graph)
    server.execute(f"ALTER DATABASE {project.url.database} ALLOW_CONNECTIONS true")
    assert project.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_graph'::regclass") == [(True,)]
    assert "create_index_concurrently ix_graph goes on unwatched" in caplog.text


def test_a_line_comes_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    told = Progress("backfill", "notes", "rows", 30, 120, eta_s=9.4, blocked_by=(Blocker(7, "", "active", "SELECT"),))
    advised = Progress("create_index_concurrently", "ix", "building", advice="raise it")
    with caplog.at_level(logging.INFO, "memstore"):
        seldom, often = NowAndThen(), NowAndThen(every_s=0)
        seldom(told)
        assert caplog.messages == []
        seldom(advised)
        often(told)
    assert caplog.messages == [
        "create_index_concurrently ix: building, raise it",
        "backfill notes: rows, 25 % (30 of 120 rows), 9 s left, waiting for pid 7 (no name, active): SELECT",
    ]


def test_the_rate_is_that_of_the_phase() -> None:
    rate = Rate()
    assert rate.eta_s("first", 10, 100) is None
    assert (rate.eta_s("first", 20, 100) or 0) > 0
    assert rate.eta_s("second", 5, 100) is None
    assert rate.eta_s("second", None, None) is None


BUILD_AND_DIE = """
import sys
from sqlalchemy.engine import make_url
from tests.migrations.operations.revision import Project
from tests.migrations.operations.test_progress import build_graph

print("ready", flush=True)
Project(make_url(sys.argv[1])).migrate(build_graph)
"""


def test_the_backend_of_a_killed_runner_does_not_go_on(project: Project) -> None:
    project.run(*VECTORS, "INSERT INTO things SELECT * FROM things", "INSERT INTO things SELECT * FROM things")
    url = project.url.render_as_string(hide_password=False)
    runner = subprocess.Popen([sys.executable, "-c", BUILD_AND_DIE, url], cwd=ROOT, stdout=subprocess.PIPE)
    building = "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'building index%'"
    while not (pids := project.ask(building)):
        assert runner.poll() is None
    runner.kill()
    runner.communicate()
    while project.ask(f"SELECT FROM pg_stat_activity WHERE pid = {pids[0][0]}"):
        assert project.ask("SELECT FROM pg_index WHERE indexrelid = to_regclass('ix_graph') AND indisvalid") == []
    project.migrate(build_graph)
    assert project.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_graph'::regclass") == [(True,)]
