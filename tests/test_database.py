from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from memstore import errors
from memstore.database import connecting, create_engine, explain, open_connection
from tests.passwords import password_asked
from tests.support import Server, raw_dsn

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

ROLE = "ines"
PASSWORD = "p%41@/ :word'\""


async def answer(target: URL | str, question: str = "SELECT current_user") -> object:
    async with connecting(target) as engine, open_connection(engine) as connection:
        return await connection.scalar(text(question))


def with_password(url: URL, password: str) -> str:
    folder = quote(str(url.query["host"]), safe="")
    return f"postgresql://{ROLE}:{quote(password, safe='')}@/{url.database}?host={folder}&port={url.query['port']}"


@pytest.fixture
def guarded(server: Server, url: URL) -> Iterator[URL]:
    """A database that lets a role in with its password only."""
    with password_asked(server, database=str(url.database), role=ROLE, password=PASSWORD):
        yield url


async def test_a_password_of_awkward_characters_is_the_one_that_is_sent(guarded: URL) -> None:
    assert await answer(with_password(guarded, PASSWORD)) == ROLE
    assert await answer(guarded.set(username=ROLE, password=PASSWORD)) == ROLE
    in_query = raw_dsn(guarded).replace("//postgres@/", "///") + f"&user={ROLE}&password={quote(PASSWORD, safe='')}"
    assert await answer(in_query) == ROLE


@pytest.mark.parametrize("wrong", ["pA@/ :word'\"", "p%41@/ :word'", "secret-of-mine"])
async def test_a_wrong_password_is_refused_and_never_shown(guarded: URL, wrong: str) -> None:
    with pytest.raises(errors.AuthenticationError) as caught:
        await answer(with_password(guarded, wrong))
    message = str(caught.value)
    assert f"'{ROLE}'" in message
    assert "Check user and password in DATABASE_URL" in message
    rendered = "".join(traceback.format_exception(caught.value))
    shown = [each for each in (wrong, quote(wrong), quote(wrong, safe="")) if each in rendered]
    assert shown == []


async def test_no_password_where_one_is_needed(guarded: URL) -> None:
    with pytest.raises(errors.AuthenticationError, match=f"'{ROLE}'"):
        await answer(guarded.set(username=ROLE))


async def test_an_unknown_role(url: URL) -> None:
    with pytest.raises(errors.AuthenticationError, match=r"'nobody_here'.*does not exist"):
        await answer(url.set(username="nobody_here"))


async def test_no_server_behind_a_socket(url: URL, tmp_path: Path) -> None:
    nowhere = url.set(password=PASSWORD, query={"host": str(tmp_path)})
    with pytest.raises(errors.ServerUnreachableError, match=r"no server answers at .*: No such file") as caught:
        await answer(nowhere)
    assert "Start it, or correct DATABASE_URL" in str(caught.value)
    assert "word" not in "".join(traceback.format_exception(caught.value))


async def test_no_server_behind_a_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it, nobody answers
        port = free.getsockname()[1]
        with pytest.raises(errors.ServerUnreachableError, match=f"no server answers at .*127.0.0.1:{port}") as caught:
            await answer(f"postgresql://ines:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/memory")
    assert "word" not in "".join(traceback.format_exception(caught.value))


async def test_a_port_that_cannot_be() -> None:
    with pytest.raises(errors.MemstoreError, match="99999"):
        await answer("postgresql://ines@127.0.0.1:99999/memory")


async def test_a_server_that_says_nothing_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(errors.ServerUnreachableError, match="timed out"):
            await answer(f"postgresql://ines@127.0.0.1:{port}/memory?connect_timeout=1")


async def test_a_database_that_is_missing(url: URL) -> None:
    with pytest.raises(errors.DatabaseMissingError, match=r'"not_here" does not exist. Run: createdb not_here'):
        await answer(url.set(database="not_here"))


def test_a_rollback_that_fails_too_does_not_hide_that_the_server_is_lost() -> None:
    """The errors are asyncpg's, word for word, when a server goes away at one moment of a COPY."""
    url = make_url("postgresql://db.example/memory")
    rollback = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    assert explain(rollback, url) is None  # two things at once on one connection: a defect of ours
    lost = asyncpg.InternalClientError("cannot switch to state 21; another operation (2) is in progress")
    rollback.__context__ = lost
    explanation = explain(rollback, url)
    assert isinstance(explanation, errors.ServerUnreachableError)
    assert "the connection to postgresql://db.example/memory was lost" in str(explanation)


async def test_parameters_of_libpq_work(url: URL) -> None:
    named = f"{raw_dsn(url)}&application_name=x%20y&connect_timeout=5&sslmode=disable"
    mine = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    assert await answer(named, mine) == "x y"
    assert await answer(url, mine) == "memstore"
    assert await answer(f"{raw_dsn(url)}&options=-cwork_mem%3D8MB", "SHOW work_mem") == "8MB"


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "1.5", "²"])
def test_a_timeout_that_is_not_one_is_refused(seconds: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"connect_timeout is '.*'. Needed: a whole number of seconds"):
        create_engine(f"postgresql://db.example/memory?connect_timeout={quote(seconds)}")


@pytest.mark.parametrize("name", ["channel_binding", "gssencmode", "keepalives", "sslcompression"])
def test_a_parameter_that_asyncpg_does_not_have_is_named(name: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"asyncpg has no parameter {name}. Remove it") as caught:
        create_engine(f"postgresql://ines:hunter2@db.example/memory?{name}=disable")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("parameter", ["keepalives_idle=30", "fallback_application_name=x", "sslmode=bogus"])
async def test_a_parameter_that_does_not_work_is_named(url: URL, parameter: str) -> None:
    with pytest.raises(errors.SettingsError, match=parameter.partition("=")[0]):
        await answer(f"{raw_dsn(url)}&{parameter}")
