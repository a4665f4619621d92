from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from memstore.migrations.sums.seal import seal
from tests.support import ROOT


def _sealed(folder: Path) -> Path:
    """Copy what a wheel is made of, and seal what is under work: as it is released."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("memstore", "alembic"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    seal(folder / "alembic")
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The Python of a virtual environment with the wheel, what it needs and psycopg: one for all xdist workers."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent
    python = folder / "clean" / "bin" / "python"
    with (folder / "clean.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "clean.done").exists():
            build: list[str | Path] = [
                sys.executable,
                "-m",
                "hatchling",
                "build",
                "-t",
                "wheel",
                "-d",
                folder / "wheel",
            ]
            subprocess.run(build, cwd=_sealed(folder / "released"), check=True, capture_output=True)
            (wheel,) = (folder / "wheel").glob("*.whl")
            venv.create(folder / "clean", symlinks=True)
            pip: list[str | Path] = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                python,
                "install",
                "--quiet",
                "--no-compile",
            ]
            subprocess.run([*pip, f"{wheel}[cli]", "psycopg[binary]"], check=True)
            (folder / "clean.done").touch()
    return python
