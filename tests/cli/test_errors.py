"""What bad input gets: each row of the table that the command was built to, through the real command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy.engine import URL

from memstore.database import connecting
from memstore.migrations import downgrade, grant
from memstore.migrations.scripts import revisions
from memstore.store import NewUser, create_user
from tests.cli.command import counts, fetch, memstore, misused, refused
from tests.passwords import password_asked
from tests.support import Server
from tests.transfer.corpora import NODES, VECTORS, digests, make_vectors, write_corpus

HEAD = revisions()[-1]
SOMEBODY = "00000000-0000-4000-8000-000000000000"
PASSWORD = "p%41@/ :word'\""

MISUSES: dict[str, tuple[tuple[str, ...], str]] = {
    "import, not a UUID": (("import", "corpus", ".", "--user-id", "ines"), "'--user-id'"),
    "import, neither": (("import", "corpus", "."), "found neither of --user-id and --tenant-id, needed: exactly one"),
    "import, both": (
        ("import", "corpus", ".", "--user-id", SOMEBODY, "--tenant-id", SOMEBODY),
        "found both of --user-id and --tenant-id, needed: exactly one",
    ),
    "import, no folder": (("import", "corpus", "--user-id", SOMEBODY), "Missing argument"),
    "search, not a UUID": (("search", "--user-id", f"{SOMEBODY}0", "--like", "mem_1"), "'--user-id'"),
    "search, neither": (("search", "--like", "mem_1"), "found neither of --user-id and --tenant-id"),
    "search, nothing asked": (("search", "--user-id", SOMEBODY), "found none of --vector, --like and --text"),
    "search, two things asked": (
        ("search", "--user-id", SOMEBODY, "--like", "mem_1", "--vector", "a.npy"),
        "found both of --vector and --like",
    ),
}

# What is written in place of which file, and what is said of it.
BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "nodes missing": (NODES, Path.unlink, "No such file or directory. Needed: a JSON array of nodes"),
    "nodes not JSON": (NODES, lambda path: path.write_text("id,text\n"), "is not JSON"),
    "nodes not an array": (NODES, lambda path: path.write_text("{}"), "not an array"),
    "nodes empty": (NODES, lambda path: path.write_text("[]"), "empty array"),
    "vectors missing": (VECTORS, Path.unlink, "No such file or directory. Needed: a NumPy file of float32"),
    "vectors of wrong dtype": (VECTORS, lambda path: np.save(path, make_vectors().astype("f8")), "holds float64"),
    "vectors of wrong width": (
        VECTORS,
        lambda path: np.save(path, make_vectors(width=3)),
        "vectors of 3 dimensions, this database holds 4",
    ),
    "vectors of wrong count": (
        VECTORS,
        lambda path: np.save(path, make_vectors(6)),
        "corpus/nodes.json has 5 nodes and vectors/nodes.npy has 6 rows",
    ),
}


@pytest.fixture
def user_id(url: URL) -> str:
    return str(asyncio.run(_create_user(url)))


async def _create_user(url: URL) -> UUID:
    async with connecting(url) as engine:
        return (await create_user(engine, NewUser("ines@example.com")))[0]


@pytest.fixture
def guarded(server: Server, url: URL) -> Iterator[URL]:
    with password_asked(server, database=str(url.database), role="omar", password=PASSWORD):
        yield url.set(username="omar")


@pytest.mark.parametrize(("arguments", "expected"), MISUSES.values(), ids=MISUSES)
def test_wrong_arguments(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in misused(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "status"),
        ("user", "create", "--email", "ines@example.com"),
        ("import", "corpus", ".", "--user-id", SOMEBODY),
        ("search", "--user-id", SOMEBODY, "--like", "mem_1"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_database_url(arguments: tuple[str, ...]) -> None:
    message = refused(*arguments)
    assert message.startswith("memstore: DATABASE_URL environment variable not set. Type: export DATABASE_URL=")


def test_a_database_url_that_cannot_be_used() -> None:
    message = refused("db", "status", url="postgresql://ines:hunter2@db.example:port/memory")
    assert "cannot be parsed. Needed: postgresql://USER:PASSWORD@HOST:5432/DATABASE" in message
    assert "hunter2" not in message


def test_a_server_that_is_down(tmp_path: Path) -> None:
    message = refused("db", "upgrade", url=f"postgresql://ines:hunter2@/memory?host={tmp_path}")
    assert "no server answers at postgresql+asyncpg://ines:***@/memory" in message
    assert "Start it, or correct DATABASE_URL" in message


def test_a_wrong_password(guarded: URL) -> None:
    message = refused("db", "status", url=guarded.set(password=f"{PASSWORD}x"))
    assert "refused user 'omar'" in message
    assert "Check user and password in DATABASE_URL" in message
    assert "word'" not in message
    assert quote(PASSWORD, safe="") not in message


def test_a_database_that_is_missing(server: Server) -> None:
    message = refused("db", "upgrade", url=server.url.set(database="not_here"))
    assert 'database "not_here" does not exist. Run: createdb not_here' in message


def test_pgvector_is_missing_or_too_old(server: Server, empty_url: URL) -> None:
    if server.major != 18:
        pytest.skip("extension_control_path came with PostgreSQL 18")
    server.execute(f"ALTER DATABASE {empty_url.database} SET extension_control_path = '/nonexistent'")
    message = refused("db", "upgrade", url=empty_url)
    assert "the extension 'vector' is not available on this server, memstore needs pgvector 0.8 or newer" in message
    assert "apt install postgresql-18-pgvector" in message

    old = server.folder / "old"
    (old / "extension").mkdir(parents=True)
    (old / "extension" / "vector.control").write_text("default_version = '0.7.4'\n")
    server.execute(f"ALTER DATABASE {empty_url.database} SET extension_control_path = '{old}'")
    message = refused("db", "upgrade", url=empty_url)
    assert "pgvector is 0.7.4, memstore needs 0.8 or newer. Install a newer one on the server" in message
    assert fetch(empty_url, "SELECT nspname FROM pg_namespace WHERE nspname = 'memstore'") == []


def test_tables_that_are_missing(empty_url: URL, tmp_path: Path) -> None:
    expected = f"the tables of memstore are missing, revision {HEAD} is needed. Run: memstore db upgrade"
    for arguments in (
        ("import", "corpus", write_corpus(tmp_path), "--user-id", SOMEBODY),
        ("search", "--tenant-id", SOMEBODY, "--like", "mem_1"),
        ("user", "create", "--email", "ines@example.com"),
    ):
        assert expected in refused(*arguments, url=empty_url)
    assert fetch(empty_url, "SELECT nspname FROM pg_namespace WHERE nspname = 'memstore'") == []


def test_tables_at_an_older_revision(url: URL, user_id: str, tmp_path: Path) -> None:
    asyncio.run(downgrade(url, "0003_agents_sessions"))
    pending = len(revisions()) - 1 - revisions().index("0003_agents_sessions")
    for arguments in (
        ("import", "corpus", write_corpus(tmp_path), "--user-id", user_id),
        ("user", "create", "--email", "omar@example.com"),
    ):
        message = refused(*arguments, url=url)
        assert f"the database is at 0003_agents_sessions, this version of memstore needs {HEAD}" in message
        assert f"Run: memstore db upgrade ({pending} revision" in message
    assert fetch(url, "SELECT email FROM memstore.users") == [{"email": "ines@example.com"}]


@pytest.fixture
def future_url(url: URL) -> URL:
    """A database that a newer memstore has migrated."""
    changed = "UPDATE memstore.alembic_version SET version_num = '0099_future' RETURNING version_num"
    assert fetch(url, changed) == [{"version_num": "0099_future"}]
    return url


def test_tables_at_an_unknown_revision(future_url: URL, tmp_path: Path) -> None:
    before = counts(future_url)
    for arguments in (
        ("import", "corpus", write_corpus(tmp_path), "--user-id", SOMEBODY),
        ("tenant", "create", "Acme"),
    ):
        message = refused(*arguments, url=future_url)
        assert f"at 0099_future, which this version of memstore does not know; it needs {HEAD}" in message
        assert "Run: pip install --upgrade memstore" in message
    assert counts(future_url) == before


def test_an_unknown_revision_is_not_upgraded(future_url: URL) -> None:
    message = refused("db", "upgrade", url=future_url)
    assert "0099_future" in message
    assert HEAD in message
    assert "Run: pip install --upgrade memstore" in message


def test_the_status_that_an_applications_role_may_not_read(server: Server, url: URL) -> None:
    role = f"app_{url.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    asyncio.run(grant(url, role))
    finished = memstore("db", "status", url=url.set(username=role))
    assert HEAD in finished.stdout or "migration_ledger" in finished.stderr
    assert len(finished.stderr.splitlines()) <= 1


def test_another_width_than_the_environment_asks_for(url: URL, user_id: str, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path)
    message = refused("import", "corpus", folder, "--user-id", user_id, url=url, MEMSTORE_EMBEDDING_DIM="384")
    assert "embeddings of 4 dimensions, 384 were asked for. Type: export MEMSTORE_EMBEDDING_DIM=4" in message
    assert counts(url)["memory_nodes"] == 0


def test_an_import_for_an_unknown_owner(url: URL, tmp_path: Path) -> None:
    folder, before = write_corpus(tmp_path), counts(url)
    user = f"there is no user {SOMEBODY}. Run: memstore user create --email"
    tenant = f"there is no tenant {SOMEBODY}. Run: memstore tenant create"
    assert user in refused("import", "corpus", folder, "--user-id", SOMEBODY, url=url)
    assert tenant in refused("import", "corpus", folder, "--tenant-id", SOMEBODY, url=url)
    assert counts(url) == before


def test_a_search_of_an_unknown_owner(url: URL, user_id: str, tmp_path: Path) -> None:
    np.save(tmp_path / "asked.npy", make_vectors(1))
    search = ("search", "--vector", tmp_path / "asked.npy")
    assert f"there is no user {SOMEBODY}. Run: memstore user" in refused(*search, "--user-id", SOMEBODY, url=url)
    assert "no memory 'mem_1'" in refused("search", "--user-id", user_id, "--like", "mem_1", url=url)
    assert f"there is no tenant {SOMEBODY}. Run: memstore tenant" in refused(*search, "--tenant-id", SOMEBODY, url=url)


def test_files_that_are_not_a_corpus(url: URL, user_id: str, tmp_path: Path) -> None:
    for number, (name, spoil, expected) in enumerate(BAD_FILES.values()):
        folder = write_corpus(tmp_path / str(number))
        spoil(folder / name)
        before = digests(folder)
        message = refused("import", "corpus", folder, "--user-id", user_id, url=url)
        assert expected in message
        assert str(folder) in message
        assert name in message
        assert digests(folder) == before
    assert counts(url)["memory_nodes"] == 0


def test_one_bad_node_among_100_000(url: URL, user_id: str, tmp_path: Path) -> None:
    nodes = [{"id": f"mem_{n}", "human_content": "Hi"} for n in range(100_000)]
    nodes[77_777]["urgency"] = "soon"
    folder = write_corpus(tmp_path, nodes, np.ones((100_000, 4), np.float32))
    message = refused("import", "corpus", folder, "--user-id", user_id, url=url, lines=2)
    assert "1 problem, nothing was written\n  node 77777 (id mem_77777): urgency: found 'soon'" in message
    assert "needed: one of low, medium, high" in message
    assert counts(url)["memory_nodes"] == 0


def test_a_vector_that_cannot_be_searched_with(url: URL, user_id: str, tmp_path: Path) -> None:
    path = tmp_path / "asked.npy"
    search = ("search", "--user-id", user_id, "--vector", path)
    assert f"{path}: No such file" in refused(*search, url=url)
    path.write_text("0.1 0.2")
    assert f"{path} is not a NumPy array file" in refused(*search, url=url)
    np.save(path, make_vectors(1, 3))
    # Whether there are memories to compare with or not.
    assert "the vector has 3 dimensions" in refused(*search, url=url)
