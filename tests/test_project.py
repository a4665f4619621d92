"""What the project promises about itself: its README, its wheel, its lower bounds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from memstore.migrations.scripts import revisions
from memstore.migrations.sums.seal import seal
from tests.support import ROOT, run_python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_program_in_the_readme_runs_as_written_and_again(tmp_path: Path) -> None:
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    expected = re.findall(r"# (0\.\d\d .*)", program)
    (tmp_path / "program.py").write_text(program)
    for _ in range(2):
        done = run_python("program.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == expected


def test_the_wheel_migrates_without_a_checkout(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    seal(installed / "memstore" / "alembic")  # what is under work, as when it is released
    find = "import memstore.migrations.scripts as s; print(s.script_location(), s.head())"
    found = run_python("-c", find, cwd=tmp_path, PYTHONPATH=str(installed))
    assert found.stdout.split() == [str(installed / "memstore" / "alembic"), revisions()[-1]]
    path, url = str(installed), f"embedded:{tmp_path}/db"
    upgraded = run_python("-m", "memstore", "db", "upgrade", cwd=tmp_path, PYTHONPATH=path, DATABASE_URL=url)
    assert upgraded.returncode == 0, upgraded.stderr
    assert revisions()[-1] in upgraded.stdout
    checked = run_python("-m", "memstore", "db", "check", cwd=tmp_path, PYTHONPATH=path, DATABASE_URL=url)
    assert checked.stdout.startswith(f"no differences from {revisions()[-1]}, "), checked.stderr


def test_the_lowest_versions_tested_are_the_lower_bounds() -> None:
    requirements = PROJECT["dependencies"] + [
        requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra
    ]
    lowest = {
        name: specifier.version
        for name, specifiers in ((r.name, r.specifier) for r in map(Requirement, requirements))
        for specifier in specifiers
        if specifier.operator == ">="
    }
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    assert lowest == dict(line.split("==") for line in lines if not line.startswith("#"))


def test_importing_the_models_needs_neither_environment_nor_drivers() -> None:
    check = (
        "import sys, memstore.models\n"
        "heavy = {'asyncpg', 'alembic', 'pymilvus', 'msgspec', 'typer'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
