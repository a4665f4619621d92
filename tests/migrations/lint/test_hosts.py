"""Hosts that have memstore among their revisions, or take it along in one of them, as docs/embedding.md shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from memstore.errors import MigrationError
from memstore.migrations.lint import LintResult, lint_revisions
from memstore.migrations.scripts import revisions
from tests.hosts.project import AFTER, ENVS, INI, Host, shown, version_locations
from tests.support import ROOT

MEMORY = shown(4, "python", '"""Remember')
ENV = shown(3, "python", "# migrations/env.py")
URL = make_url("postgresql://nobody@nowhere/nothing")
RULE = "SQ-require-concurrent-index-deletion"
HIDDEN = "from string import Template\n    op.execute(Template('DROP INDEX $i').substitute(i='ix'))"
DROPS = AFTER.replace('op.execute("DROP TABLE seen")', f'op.execute("DROP TABLE seen")\n    {HIDDEN}')


@pytest.fixture(autouse=True)
def _own_models_of_each_host() -> Iterator[None]:
    yield
    sys.modules.pop("models", None)


def lint(folder: Path, *targets: str, env: str, ini: str = INI, **scripts: str) -> LintResult:
    Host.create(folder, URL, "psycopg", env=env, ini=ini, **scripts)
    return again(folder, *targets)


def again(folder: Path, *targets: str) -> LintResult:
    path = folder / "alembic.ini"
    path.write_text(path.read_text().replace("prepend_sys_path = .\n", "prepend_sys_path = %(here)s\n"))
    return lint_revisions(targets, config=path)


def said(found: LintResult) -> list[tuple[str | None, str]]:
    return [(each.revision, each.code) for each in found.findings]


def names(found: LintResult) -> list[str]:
    return [Path(each).stem for each in found.paths]


@pytest.mark.parametrize("driver", ENVS)
def test_a_revision_that_takes_memstore_along(tmp_path: Path, driver: str) -> None:
    later = DROPS.replace("a1_users", "b2_memory").replace("b2_after", "c3_after").replace("depends_on", "# ")
    found = lint(tmp_path, env=ENVS[driver], b2_memory=MEMORY, c3_after=later)
    assert names(found) == ["a1_users", "b2_memory", "c3_after"]
    assert said(found) == [("c3_after", RULE)]


def test_another_way_down_that_fails_is_said_all_the_same(tmp_path: Path) -> None:
    memory = MEMORY.replace('start="0007_documents")', 'start="nothing")')
    assert memory != MEMORY
    assert said(lint(tmp_path, env=ENVS["psycopg"], b2_memory=memory)) == [("b2_memory", "MS904")]


@pytest.mark.parametrize("targets", [(), ("base:heads",), ("heads", "a1_users")])
def test_memstores_revisions_among_a_hosts_are_not_the_hosts(tmp_path: Path, targets: tuple[str, ...]) -> None:
    found = lint(tmp_path, *targets, env=ENV, ini=version_locations(), b2_after=DROPS)
    assert sorted(names(found)) == ["a1_users", "b2_after"]
    assert said(found) == [("b2_after", RULE)]


def test_memstores_revisions_are_linted_as_memstores(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=f"memstore db lint {revisions()[0]}"):
        lint(tmp_path, revisions()[0], env=ENV, ini=version_locations())
    found = lint_revisions(revisions()[-1:], config=ROOT / "alembic.ini")
    assert (names(found), said(found)) == ([revisions()[-1]], [])
