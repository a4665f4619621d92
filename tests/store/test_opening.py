from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.engine import URL

from memstore import store
from memstore.database import connecting
from memstore.errors import MissingPackageError, SettingsError
from memstore.migrations import upgrade
from memstore.settings import parse_database_url
from memstore.store import Backend, NewMemory, NewUser, PostgresStore, StoreSettings, create_user
from memstore.store.files import FileStore
from tests.support import raw_dsn

SECRET = "p:@/?#[]%'\" \\$x"
SERVER = """
memory:
  backend: ${BACKEND:-postgres}
  search_metrics: ${SHARE}
  postgres:
    host: "${HOST:-db.example}"
    port: "${PORT}"
    database: memory_${STAGE:-}${STAGE:-test}
    user: ines
    password: ${PASSWORD}
    sslmode: require
    pool_size: ${POOL:-3}
    pool_timeout_s: 1.5
  file:
    path: ${HOME}/${NOTHING:-}memories
somebody_elses: [1, 2]
"""
SET = {"PORT": "5433", "PASSWORD": SECRET, "HOME": "/home/ines", "SHARE": "0.25", "NOTHING": "", "STAGE": ""}
EXPECTED = StoreSettings(
    database_url=URL.create(
        "postgresql+asyncpg", "ines", SECRET, "db.example", 5433, "memory_test", {"sslmode": "require"}
    ),
    path=Path("/home/ines/memories"),
    pool_size=3,
    pool_timeout_s=1.5,
    search_metrics=0.25,
)
# A file, what is set, and what is said of it.
REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "unset": (
        "memory: {postgres: {password: 'x${HUNTER}'}}",
        {},
        r"memory\.postgres\.password needs the variable HUNTER, which",
    ),
    "unset in a list": ("memory: {postgres: [a, '${HUNTER}']}", {}, r"memory\.postgres\[1\] needs the variable HUNTER"),
    "unknown": ("memory: {backends: file}", {}, "memory has backends. Known: backend, search_metrics"),
    "unknown, deep": ("memory: {postgres: {passwort: hunter2}}", {}, "memory.postgres has passwort. Known: url, host"),
    "no section": ("memory: {postgres: localhost}", {}, "memory.postgres is no section. Needed: url, host"),
    "no memory": ("[memory]", {}, "has no section memory"),
    "memory is text": ("memory: postgres", {}, "has no section memory"),
    "text": ("memory: {postgres: {user: [ines]}}", {}, "memory.postgres.user is no text"),
    "truth": ("memory: {postgres: {database: yes}}", {}, "memory.postgres.database is no text. Write it in quotes"),
    "number": ("memory: {postgres: {pool_size: many}}", {}, "memory.postgres.pool_size is 'many'. Needed: a number"),
    "out of range": ("memory: {postgres: {pool_size: 0}}", {}, "the pool size is 0. Needed: 1 to 10000"),
    "not a number": ("memory: {search_metrics: .nan}", {}, "the share of searches to record is nan. Needed: 0 to 1"),
    "backend": ("memory: {backend: redis}", {}, "the backend is 'redis'. Needed: postgres or file"),
    "both": ("memory: {postgres: {url: postgresql:///a, port: 1}}", {}, "memory.postgres has url and port"),
    "url": ("memory: {postgres: {url: 'mysql://ines:hunter2@/a'}}", {}, "the database URL is for 'mysql'"),
    "YAML": ("memory:\n  password: hunter2: x", {}, "is no YAML in line 2"),
    "pool": ("", {"MEMSTORE_POOL_SIZE": "1.5"}, "MEMSTORE_POOL_SIZE is '1.5'. Needed: a number"),
    "share": ("", {"MEMSTORE_SEARCH_METRICS": "1.5"}, "the share of searches to record is 1.5. Needed: 0 to 1"),
    "timeout": ("", {"MEMSTORE_POOL_TIMEOUT_S": "nan"}, "the pool timeout is nan"),
    "kind": ("", {"MEMSTORE_BACKEND": "files"}, "the backend is 'files'. Needed: postgres or file"),
}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("MEMSTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str, **environ: str) -> Mapping[str, str]:
    path = folder / "memstore.yaml"
    path.write_text(text)
    return {"MEMSTORE_CONFIG": str(path), **environ}


def test_a_file_is_read_with_its_variables(tmp_path: Path) -> None:
    settings = StoreSettings.from_env(written(tmp_path, SERVER, **SET))
    assert settings == EXPECTED
    assert settings.database_url is not None
    assert settings.database_url.password == SECRET
    assert SECRET not in repr(settings)


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    environ = written(
        tmp_path,
        SERVER,
        **SET,
        DATABASE_URL="postgresql://omar@/other",
        MEMSTORE_BACKEND=" file ",
        MEMSTORE_PATH="here",
        MEMSTORE_POOL_SIZE="7",
        MEMSTORE_POOL_TIMEOUT_S="0",
        MEMSTORE_SEARCH_METRICS="1",
    )
    assert StoreSettings.from_env(environ) == StoreSettings(
        backend=Backend.FILE,
        database_url=parse_database_url("postgresql://omar@/other"),
        path=Path("here"),
        pool_size=7,
        pool_timeout_s=0,
        search_metrics=1,
    )


def test_a_file_in_this_folder_is_read_unasked(tmp_path: Path) -> None:
    assert StoreSettings.from_env({}) == StoreSettings()
    (tmp_path / "config.yaml").write_text("memory: {backend: file, file: {path: here}}")
    assert StoreSettings.from_env({}) == StoreSettings(backend=Backend.FILE, path=Path("here"))
    for text in ("", "other: 1", "memory: {}", "memory: {postgres: {url: }}"):
        (tmp_path / "config.yaml").write_text(text)
        assert StoreSettings.from_env({}) == StoreSettings()
    with pytest.raises(SettingsError, match=r"gone\.yaml cannot be read: .* Correct MEMSTORE_CONFIG"):
        StoreSettings.from_env({"MEMSTORE_CONFIG": "gone.yaml"})


@pytest.mark.parametrize(("text", "environ", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        StoreSettings.from_env(written(tmp_path, text, **environ))
    assert "hunter2" not in str(refused.value)


def test_a_file_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'memstore\[config\]'"):
        StoreSettings.from_env(written(tmp_path, "memory: {}"))
    assert StoreSettings.from_env({}) == StoreSettings()


async def test_the_store_that_is_asked_for_is_opened(url: URL, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL environment variable not set"):
        store.open(StoreSettings())
    with pytest.raises(SettingsError, match="Set MEMSTORE_PATH, or memory.file.path"):
        store.open(StoreSettings(backend=Backend.FILE))
    async with connecting(url) as engine:
        user, tenant = await create_user(engine, NewUser("ines@example.com"))
    for settings, kind in (
        (StoreSettings(database_url=url), PostgresStore),
        (StoreSettings(backend=Backend.FILE, path=tmp_path / "files"), FileStore),
    ):
        async with store.open(settings) as opened:
            assert type(opened) is kind
            added = await opened.scope(tenant, user).add(NewMemory(content="tea"))
            assert await opened.scope(str(tenant), str(user)).get(added.id) == added


async def test_it_is_opened_by_the_environment(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", raw_dsn(url))
    monkeypatch.setenv("MEMSTORE_POOL_SIZE", "2")
    async with store.open() as opened:
        assert isinstance(opened, PostgresStore)
        assert await opened.scope(uuid4()).count() == 0
        assert (await opened.scope(uuid4()).health()).embedding_dim == 4


async def test_an_embedded_server_is_started(tmp_path: Path) -> None:
    at = f"embedded:{tmp_path}/server"
    await upgrade(at, embedding_dim=3)
    async with PostgresStore(at) as opened, connecting(at) as engine:
        _, tenant = await create_user(engine, NewUser("ines@example.com"))
        await opened.scope(tenant).add(NewMemory(content="tea", embedding=[1, 2, 3]))
        assert len(await opened.scope(tenant).search(vector=[1, 2, 3], text="tea")) == 1


def test_importing_it_takes_nothing_that_is_not_needed() -> None:
    check = (
        "import sys, memstore.store\n"
        "heavy = {'yaml', 'opentelemetry', 'alembic', 'msgspec', 'typer', 'snowballstemmer'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
