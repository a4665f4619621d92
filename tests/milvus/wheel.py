"""The real Milvus of the wheel milvus==2.3.5: whether it can run here, its program, and the settings it runs with."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSION = "2.3.5"
ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / ".memstore" / f"milvus-{VERSION}"

SETTINGS = {
    "log.level": "warn",
    "log.file.rootPath": '""',  # it logs to standard output already
    # After SIGKILL its successor waits until the dead one's sessions expire: 38 s and more at the default of 30.
    "common.session.ttl": 10,
    # Asked to end, it waits for queries that nobody sends until this is over: half an hour by default.
    "common.gracefulStopTimeout": 3,
    # A read at Strong consistency waits for the next tick.
    "proxy.timeTickInterval": 20,
    "queryCoord.checkInterval": 100,
    "queryCoord.distPullInterval": 50,
}


@cache
def real_milvus_missing() -> str | None:
    """Say why the real Milvus cannot run here, or None where it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"the wheel milvus=={VERSION} is for Linux on x86_64"
    try:
        installed = version("milvus")
    except PackageNotFoundError:
        return f"the package milvus=={VERSION} is not installed; run: make setup"
    if installed != VERSION:
        return f"milvus is installed as {installed}, and these tests are for {VERSION}"
    tried = subprocess.run(
        [sys.executable, "-m", "tests.milvus.namespace"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        return f"no network namespace can be made for it: {tried.stderr.strip().splitlines()[-1]}"
    return None


def unpack() -> Path:
    """Unpack the program once for all that ever run it, and return where it is; 246 MB in 7 s, then 0.2 s."""
    from milvus import _initialize_data_files

    UNPACKED.mkdir(parents=True, exist_ok=True)
    with (UNPACKED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _initialize_data_files(str(UNPACKED))
    return UNPACKED / "bin" / "milvus"


def write_settings(folder: Path) -> None:
    """Write the settings of a server with its data in `folder`; it takes the ports that are free where this runs."""
    from milvus import MilvusServerConfig

    config = MilvusServerConfig(data_dir=str(folder))
    config.set("etcd_log_level", "warn")
    config.resolve_storage()
    for name, value in SETTINGS.items():
        config.set(name, value)
    config.resolve()


def environment(program: Path) -> dict[str, str]:
    """Return the environment to run the program in."""
    return os.environ | {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": "9091",
        "LD_LIBRARY_PATH": str(program.parent),
    }
