from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy.engine import URL

from memstore.database import connecting
from memstore.migrations.scripts import revisions
from memstore.store import NewUser, create_user
from tests.cli.command import counts, done, fetch, psql, refused
from tests.support import Server
from tests.transfer.corpora import make_nodes, make_vectors, write_corpus

HEAD = revisions()[-1]
SCHEMA = "SELECT to_regnamespace('memstore') AS schema"
USERS = "memstore.users JOIN (SELECT id AS tenant_id, kind, name FROM memstore.tenants) AS tenants USING (tenant_id)"
NAMES = [("O'Neil; DROP TABLE users; --", 'a "quoted" \\ tenant\'s'), (":name %s {} $1", "漢字 🙂")]


@pytest.fixture
def user_id(url: URL) -> str:
    return str(asyncio.run(_create_user(url)))


async def _create_user(url: URL) -> UUID:
    async with connecting(url) as engine:
        return (await create_user(engine, NewUser("ines@example.com")))[0]


@cache
def printed(*arguments: object) -> str:
    """Return what a command prints that needs no database: the same for each server."""
    return done(*arguments)


def test_a_database_goes_up_and_down(empty_url: URL) -> None:
    assert "(memstore is not installed here)" in done("db", "status", url=empty_url)
    upgraded = done("db", "upgrade", url=empty_url, MEMSTORE_EMBEDDING_DIM="7")
    assert [line.split()[:2] for line in upgraded.splitlines()] == [["upgrade", name] for name in revisions()]
    assert done("db", "upgrade", url=empty_url) == "nothing to do\n"

    status = done("db", "status", url=empty_url)
    for line in (f"current     {HEAD}", f"head        {HEAD}", "pending     nothing", "embeddings  7 dimensions"):
        assert line in status.splitlines()
    assert all(name in status.partition("revision")[2] for name in revisions())

    down = json.loads(done("db", "downgrade", revisions()[-2], "--json", "--yes", url=empty_url))
    assert [(step["revision"], step["direction"]) for step in down["steps"]] == [(HEAD, "downgrade")]
    found = json.loads(done("db", "status", "--json", url=empty_url))
    assert (found["current"], found["head"], found["pending"]) == (revisions()[-2], HEAD, [HEAD])
    assert found["embedding_dim"] == 7
    assert [step["direction"] for step in found["history"]] == ["upgrade"] * len(revisions()) + ["downgrade"]

    done("db", "downgrade", "base", "--yes", url=empty_url)
    assert fetch(empty_url, SCHEMA) == [{"schema": None}]


def test_printed_sql_migrates_in_psql(server: Server, empty_url: URL) -> None:
    psql(server, empty_url, printed("db", "sql", "--embedding-dim", 4))
    status = json.loads(done("db", "status", "--json", url=empty_url))
    assert (status["current"], status["pending"], status["embedding_dim"]) == (HEAD, [], 4)
    assert [step["revision"] for step in status["history"]] == list(revisions())
    psql(server, empty_url, printed("db", "sql", "--from", "head", "--to", "base"))
    assert fetch(empty_url, SCHEMA) == [{"schema": None}]


def test_a_personal_user_has_a_tenant_of_their_own(url: URL) -> None:
    shown = done("user", "create", "--email", "ines@example.com", "--name", "Ines [x]", url=url)
    ids = dict(line.split() for line in shown.splitlines())
    assert ids["user_id"] == ids["tenant_id"]
    assert fetch(url, f"SELECT id::text, email, display_name, kind, name FROM {USERS}") == [
        {
            "id": ids["user_id"],
            "email": "ines@example.com",
            "display_name": "Ines [x]",
            "kind": "personal",
            "name": "Ines [x]",
        }
    ]


def test_users_of_a_tenant_share_it_and_nobody_is_made_twice(url: URL) -> None:
    acme = json.loads(done("tenant", "create", "Acme", "--json", url=url))["tenant_id"]
    ines, omar = (
        json.loads(done("user", "create", "--email", f"{name}@example.com", "--tenant", tenant, "--json", url=url))
        for name, tenant in (("ines", "Acme"), ("omar", "Globex"))
    )
    kim = done("user", "create", "--email", "kim@example.com", "--tenant", "Globex", url=url)
    assert ines["tenant_id"] == acme
    assert f"tenant_id  {omar['tenant_id']}" in kim.splitlines()
    before = counts(url)
    assert before == {"tenants": 2, "users": 3, "memory_nodes": 0}
    assert acme in refused("tenant", "create", "Acme", url=url)
    assert ines["user_id"] in refused("user", "create", "--email", "ines@example.com", url=url)
    assert counts(url) == before


def test_printed_sql_creates_in_psql(server: Server, url: URL) -> None:
    for number, (name, tenant) in enumerate(NAMES):
        email = f"user{number}'x@example.com"
        psql(server, url, printed("user", "create", "--email", email, "--name", name, "--tenant", tenant, "--sql"))
    psql(server, url, printed("user", "create", "--email", "own@example.com", "--sql"))
    psql(server, url, printed("tenant", "create", NAMES[1][0], "--sql"))
    rows = fetch(url, f"SELECT display_name, name, email FROM {USERS} WHERE kind = 'enterprise' ORDER BY email")
    assert [(row["display_name"], row["name"]) for row in rows] == NAMES
    assert [row["email"] for row in rows] == [f"user{number}'x@example.com" for number in range(len(NAMES))]
    assert counts(url) == {"tenants": len(NAMES) + 2, "users": len(NAMES) + 1, "memory_nodes": 0}


def test_a_role_is_granted_what_it_needs(server: Server, url: URL, user_id: str, tmp_path: Path) -> None:
    role = f"app_{url.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    granted = done("db", "grant", role, url=url)
    given, taken, *others = granted.splitlines()
    assert taken == f"REVOKE EXECUTE ON FUNCTION memstore.enqueue_for_mirror() FROM {role}"
    assert all(line.startswith("GRANT ") and line.endswith(f" TO {role}") for line in (given, *others))
    as_role = url.set(username=role)
    folder = write_corpus(tmp_path)
    # A personal tenant has the id of its user.
    result = json.loads(done("import", "corpus", folder, "--tenant-id", user_id, "--json", url=as_role))
    assert result["inserted"] == 5
    assert (
        len(json.loads(done("search", "--tenant-id", user_id, "--like", make_nodes()[0]["id"], "--json", url=as_role)))
        == 4
    )


def ids_of(found: str) -> list[str]:
    return [hit["id"] for hit in json.loads(found)]


def test_a_corpus_is_imported_once(url: URL, user_id: str, tmp_path: Path) -> None:
    command = ("import", "corpus", write_corpus(tmp_path / "with [brackets]"), "--user-id", user_id)
    assert "5 read, 5 to insert, 0 already there" in done(*command, "--dry-run", url=url)
    assert counts(url)["memory_nodes"] == 0
    assert "5 read, 5 inserted, 0 already there" in done(*command, url=url)
    again: dict[str, Any] = json.loads(done(*command, "--json", "--batch-size", 3, url=url))
    numbers = ("read", "inserted", "already_there", "renamed", "dry_run")
    assert [again[name] for name in numbers] == [5, 0, 5, 0, False]
    assert again["rows_per_second"] == pytest.approx(5 / again["seconds"])


def test_the_nearest_are_found_first(url: URL, user_id: str, tmp_path: Path) -> None:
    nodes, vectors = make_nodes(40), make_vectors(40)
    whose = ("--user-id", user_id)
    done("import", "corpus", write_corpus(tmp_path / "corpus", nodes, vectors), *whose, url=url)
    asked = np.array([0.3, -1, 2, 0.5], np.float32)
    np.save(tmp_path / "asked.npy", asked)
    scores = vectors.astype(np.float64) @ asked / np.linalg.norm(asked.astype(np.float64))
    scores /= np.linalg.norm(vectors.astype(np.float64), axis=1)
    order = np.argsort(-scores)
    found = done("search", *whose, "--vector", tmp_path / "asked.npy", "--limit", 40, "--json", url=url)
    assert ids_of(found) == [nodes[n]["id"] for n in order]
    assert [hit["score"] for hit in json.loads(found)] == pytest.approx(scores[order], abs=1e-6)

    shown = done("search", *whose, "--vector", tmp_path / "asked.npy", url=url).splitlines()
    assert len(shown) == 10 * 3
    best = nodes[order[0]]
    assert shown[0].split()[:2] == [f"{scores[order[0]]:.3f}", best["id"]]
    assert [line.strip() for line in shown[1:3]] == [best["human_content"], best["assistant_content"]]

    # The two nearest are no longer live; what is asked for is left out itself.
    gone = [nodes[n]["id"] for n in order[:2]]
    change = "UPDATE memstore.memory_nodes SET {} WHERE id = '{}' RETURNING id"
    assert fetch(url, change.format("deleted_at = now()", gone[0])) == [{"id": gone[0]}]
    assert fetch(url, change.format("expires_at = now()", gone[1])) == [{"id": gone[1]}]
    like = int(order[5])
    order = np.argsort(-(vectors @ vectors[like]))
    found = done("search", *whose, "--like", nodes[like]["id"], "--json", "--limit", 40, url=url)
    assert ids_of(found) == [nodes[n]["id"] for n in order if n != like and nodes[n]["id"] not in gone]


def test_nothing_is_found_in_an_empty_memory(url: URL, user_id: str, tmp_path: Path) -> None:
    np.save(tmp_path / "asked.npy", np.ones((1, 4), np.float32))
    assert done("search", "--user-id", user_id, "--vector", tmp_path / "asked.npy", url=url) == "nothing found\n"


def test_words_and_filters_narrow_a_search(url: URL, user_id: str, tmp_path: Path) -> None:
    nodes = make_nodes(6)
    for number, node in enumerate(nodes):
        node |= {"human_content": f"tea {'milk' * (number % 2)}", "source": "chat" if number < 3 else "mail"}
    done("import", "corpus", write_corpus(tmp_path / "corpus", nodes, make_vectors(6)), "--user-id", user_id, url=url)
    search = ("search", "--user-id", user_id, "--text", "Is there milk?")
    ids = [node["id"] for node in nodes]
    assert sorted(ids_of(done(*search, "--json", url=url))) == sorted(ids[1::2])
    assert ids_of(done(*search, "--source", "chat", "--json", url=url)) == [ids[1]]
    both = done(*search, "--like", ids[1], "--plan", "exact", "--explain", "--json", url=url)
    found: dict[str, Any] = json.loads(both)
    assert [(hit["id"], hit["found_by"]) for hit in found["hits"][:2]] in (
        [(ids[3], "both"), (ids[5], "both")],
        [(ids[5], "both"), (ids[3], "both")],
    )
    assert found["explanation"]["plan"] == "exact"
    assert done(*search, "--min-score", "1", "--created-from", "2099-01-01", url=url) == "nothing found\n"
    assert "plan exact: " in done(*search, "--like", ids[1], "--plan", "exact", "--explain", url=url)
