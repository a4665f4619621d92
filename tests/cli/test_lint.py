from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command import done, memstore, refused
from tests.migrations.lint.project import complete, write_project

INDEX = 'def upgrade() -> None:\n    op.create_index("ix", "tools", ["name"])\n'
NOTHING = "def upgrade() -> None:\n    pass\n\n\ndef downgrade() -> None:\n    pass\n"


def test_findings_are_printed_with_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "revision.py"
    path.write_text(complete(INDEX, "0002", "0001"))
    line = path.read_text().splitlines().index('    op.create_index("ix", "tools", ["name"])') + 1
    found = memstore("db", "lint", path)
    assert (found.returncode, found.stderr) == (1, "")
    first, *rest, last = found.stdout.splitlines()
    assert first.startswith(f"{path}:{line}: MS102 index ix on tools")
    assert 'Type: op.create_index_concurrently("ix", "tools", [...])' in rest[-1]
    assert last == "1 finding in 1 of 1 revision"
    assert done("db", "lint", path, "--ignore", "MS102") == "no findings in 1 revision\n"


def test_findings_are_counted(tmp_path: Path) -> None:
    write_project(tmp_path, f"{INDEX}    op.drop_index('ix', 'tools')\n", NOTHING, INDEX)
    found = memstore("db", "lint", "--config", tmp_path / "alembic.ini")
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.splitlines()[-1] == "3 findings in 2 of 3 revisions"
    assert done("db", "lint", "0001_change", "--config", tmp_path / "alembic.ini") == "no findings in 1 revision\n"


def test_findings_for_programs(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, env="print('noise')\nraise ValueError('no')\n")
    found = memstore("db", "lint", "--config", tmp_path / "alembic.ini", "--json")
    assert found.returncode == 1
    said = json.loads(found.stdout)
    (path,) = said["paths"]
    assert [(each["code"], each["path"] == path) for each in said["findings"]] == [
        ("MS904", False),
        ("MS904", False),
        ("MS102", True),
    ]
    assert said["findings"][2].keys() == {"code", "slug", "path", "line", "revision", "message", "reason", "fix"}


def test_options_reach_the_linter(tmp_path: Path) -> None:
    text = 'def upgrade() -> None:\n    op.create_index_concurrently("i", "t", ["e"], using="ivfflat")\n'
    write_project(tmp_path, text)
    plain = ("db", "lint", "--config", tmp_path / "alembic.ini", "--no-sql")
    assert "MS304" in memstore(*plain, "--distance", "cosine").stdout
    assert "MS407" in memstore(*plain, "--tests", tmp_path).stdout
    assert done(*plain) == "no findings in 1 revision\n"


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "nothing.py" in refused("db", "lint", tmp_path / "nothing.py")
    assert "alembic.ini" in refused("db", "lint", "--config", tmp_path / "alembic.ini")
    assert "no_such_revision" in refused("db", "lint", "no_such_revision")
