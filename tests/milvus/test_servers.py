"""What the tests of Milvus stand on: both engines answer, and the real one is ours alone and survives being killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymilvus import DataType, MilvusClient

from tests.milvus.conftest import on_real_milvus
from tests.milvus.gate import HEALTH_PORT, PORT
from tests.milvus.servers import Milvus, MilvusServer, MilvusServerError, wait_until_loaded
from tests.support import ROOT, run_python

ROWS = 100


def fill(client: MilvusClient) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=8)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="L2")
    client.create_collection("points", schema=schema, index_params=index, timeout=30)
    client.upsert("points", [{"id": i, "embedding": [float(i)] * 8} for i in range(ROWS)], timeout=30)


def count(client: MilvusClient) -> int:
    found = client.query("points", output_fields=["count(*)"], consistency_level="Strong", timeout=30)
    return int(found[0]["count(*)"])


def listening(network: Path) -> set[int]:
    """Return the ports that are listened on in a network, of which this is the folder in /proc."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in (network / name).read_text().splitlines()[1:]]
    return {int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"}


def test_a_search_finds_the_nearest_of_what_was_written(milvus: Milvus) -> None:
    client = MilvusClient(milvus.uri)
    fill(client)
    assert count(client) == ROWS
    options = {"output_fields": ["id"], "consistency_level": "Strong", "timeout": 30}
    found = client.search("points", [[41.9] * 8], limit=3, **options)
    assert [hit["id"] for hit in found[0]] == [42, 41, 43]
    client.create_alias("points", "readers", timeout=30)
    client.close()


def test_each_test_begins_empty(milvus: Milvus) -> None:
    client = MilvusClient(milvus.uri)
    assert client.list_collections(timeout=30) == []
    fill(client)
    client.close()


@on_real_milvus
def test_nobody_else_can_reach_the_real_server(milvus_server: MilvusServer) -> None:
    network = Path(f"/proc/{milvus_server.pid}/net")
    assert [line.split(":")[0].strip() for line in (network / "dev").read_text().splitlines()[2:]] == ["lo"]
    inside, outside = listening(network), listening(Path("/proc/self/net"))
    assert {PORT, HEALTH_PORT} <= inside
    for port in inside - outside:  # where nobody else happens to listen
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


@on_real_milvus
def test_the_real_server_has_its_rows_and_its_address_after_it_was_killed(real_milvus: Milvus) -> None:
    server = real_milvus.server
    assert server is not None
    assert server.pid is not None
    client = MilvusClient(real_milvus.uri)
    fill(client)
    client.close()
    killed = server.pid
    server.kill()
    assert not Path(f"/proc/{killed}").exists()
    server.start()
    assert (server.uri, server.pid != killed) == (real_milvus.uri, True)
    client = MilvusClient(server.uri)
    wait_until_loaded(client, "points")
    assert count(client) == ROWS
    client.close()


@on_real_milvus
@pytest.mark.usefixtures("real_milvus_can_be")
def test_a_real_server_that_does_not_start_says_why() -> None:
    server = MilvusServer()
    settings = server.folder / "configs" / "milvus.yaml"
    settings.write_text(settings.read_text().replace("type: rocksmq", "type: pigeons"))
    try:
        with pytest.raises(MilvusServerError, match=r"Milvus is ended, and should be ready(.*\n)*panic: .*pigeons"):
            server.start()
    finally:
        server.close()
    assert not server.folder.exists()


@on_real_milvus
@pytest.mark.usefixtures("real_milvus_can_be")
@pytest.mark.parametrize("victim", ["tests", "gate"])
def test_nothing_runs_on_when_what_started_it_is_killed(victim: str) -> None:
    program = (
        "from tests.milvus.servers import MilvusServer\n"
        "server = MilvusServer()\n"
        "server.start()\n"
        "print(server.gate.pid, server.pid, server.folder, flush=True)\n"
        "server.gate.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        gate, milvus, folder = tests.stdout.readline().split()
        os.kill({"tests": tests.pid, "gate": int(gate)}[victim], signal.SIGKILL)
        tests.wait(10)
    left = [Path("/proc", gate), Path("/proc", milvus), *([Path(folder)] if victim == "tests" else [])]
    deadline = time.monotonic() + 10
    while any(path.exists() for path in left):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=victim == "tests")


def test_without_the_right_to_make_a_namespace_the_reason_is_said() -> None:
    drop_it_and_ask = (
        "import ctypes\n"
        "assert ctypes.CDLL(None).prctl(24, 21, 0, 0, 0) == 0\n"  # PR_CAPBSET_DROP, CAP_SYS_ADMIN
        "from tests.milvus.wheel import real_milvus_missing\n"
        "print(real_milvus_missing())"
    )
    done = run_python("-c", drop_it_and_ask)
    expected = "no network namespace can be made for it: PermissionError: [Errno 1] unshare: Operation not permitted\n"
    assert (done.stdout, done.stderr) == (expected, "")
