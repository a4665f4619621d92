from __future__ import annotations

import dataclasses
import traceback

import pytest

from memstore import errors
from memstore.settings import Settings, parse_database_url, parse_embedding_dim

SECRET = "hunter2"

FORMS = [
    "postgresql://ines:hunter2@db.example:5433/memory",
    "postgres://ines:hunter2@db.example:5433/memory",
    "postgresql+asyncpg://ines:hunter2@db.example:5433/memory",
    "postgresql+psycopg://ines:hunter2@db.example:5433/memory",
]

PASSWORDS = {
    "p%25w": "p%w",
    "p%40w": "p@w",
    "p%2Fw": "p/w",
    "p%20w": "p w",
    "p w": "p w",
    "p%2541": "p%41",
    "p+w": "p+w",
    "%25%40%2F%20%3A%3F%23%5B%27%22%5C": "%@/ :?#['\"\\",
    "p%C3%A9": "pé",
}

# None of these can be used, and each holds a password in some place.
REFUSED = [
    "hunter2",
    "ines:hunter2@db.example/memory",
    "//ines:hunter2@db.example/memory",
    "postgresql:ines:hunter2@db.example/memory",
    "postgresql://ines:hunter2@db.example:port/memory",
    "postgresql://ines:hunter2@db.example:5432:5433/memory",
    "postgresql://ines:p@q:hunter2@db.example/memory",
    "mysql://ines:hunter2@db.example/memory",
    "mysql://db.example/memory?password=hunter2",
    "postgresql+psycopg2://ines:hunter2@db.example/memory",
    "sqlite:///memory.db?password=hunter2",
    "POSTGRESQL://ines:hunter2@db.example/memory",
]

NUMBERS = [
    ("MEMSTORE_LOCK_TIMEOUT_MS", "0"),
    ("MEMSTORE_LOCK_TIMEOUT_MS", "soon"),
    ("MEMSTORE_LOCK_RETRIES", "-1"),
    ("MEMSTORE_LOCK_RETRIES", "nan"),
    ("MEMSTORE_MIGRATION_WAIT_S", "-0.1"),
    ("MEMSTORE_MIGRATION_WAIT_S", "inf"),
    ("MEMSTORE_MIGRATION_WAIT_S", "5 minutes"),
]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_url_becomes_one_for_asyncpg(form: str) -> None:
    url = Settings.from_env({"DATABASE_URL": f"  {form}\n"}).required_database_url()
    assert (url.drivername, url.username, url.password) == ("postgresql+asyncpg", "ines", SECRET)
    assert (url.host, url.port, url.database) == ("db.example", 5433, "memory")


def test_a_url_of_a_socket_keeps_its_folder() -> None:
    url = parse_database_url("postgresql://ines@/memory?host=/run/postgresql&port=5433")
    assert (url.host, url.database, dict(url.query)) == (
        None,
        "memory",
        {"host": "/run/postgresql", "port": "5433"},
    )


@pytest.mark.parametrize(("text", "path"), [("embedded:data/pg", "data/pg"), ("embedded:///var/pg", "/var/pg")])
def test_an_embedded_url_holds_the_path(text: str, path: str) -> None:
    url = parse_database_url(text)
    assert (url.drivername, url.database) == ("embedded", path)


@pytest.mark.parametrize("text", ["embedded:", "embedded://"])
def test_an_embedded_url_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"names no folder.*embedded:PATH"):
        parse_database_url(text)


@pytest.mark.parametrize(("written", "meant"), PASSWORDS.items())
def test_a_password_survives_exactly(written: str, meant: str) -> None:
    assert parse_database_url(f"postgresql://ines:{written}@db.example/memory").password == meant


def test_user_and_password_of_the_query_are_moved_to_where_they_are_hidden() -> None:
    url = parse_database_url("postgresql:///memory?user=ines&password=hunter2&application_name=a")
    assert (url.username, url.password, dict(url.query)) == ("ines", SECRET, {"application_name": "a"})


def test_user_and_password_before_the_host_go_first() -> None:
    url = parse_database_url("postgresql://ines:hunter2@db.example/memory?user=eve&password=other")
    assert (url.username, url.password, dict(url.query)) == ("ines", SECRET, {})


@pytest.mark.parametrize(
    "text",
    [
        *FORMS,
        "postgresql://db.example/memory?user=ines&password=hunter2",
        "postgresql://ines:hunter2@db.example/memory?password=hunter2",
        "postgresql://ines@db.example/memory?password=hunter2&password=hunter2",
        "postgresql://ines@db.example/memory?sslpassword=hunter2",
        "postgresql://ines:first@hunter2@db.example/memory",
        "postgresql://ines:first@hunter2/third@db.example/memory",
        "postgresql://ines:first@hunter2?third@db.example/memory",
        "postgresql:///ines:hunter2@db.example/memory",
        "postgresql://ines/x:hunter2@db.example/memory",
    ],
)
def test_no_password_is_shown_in_a_url_or_in_settings(text: str) -> None:
    try:
        settings = Settings.from_env({"DATABASE_URL": text})
    except errors.SettingsError as error:
        shown = [str(error), repr(error)]
    else:
        url = settings.required_database_url()
        shown = [repr(settings), str(settings), str(url), repr(url), f"{url}", url.render_as_string()]
    assert [each for each in shown if SECRET in each] == []


@pytest.mark.parametrize("text", REFUSED)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(errors.SettingsError, match="Needed: postgresql://USER:PASSWORD@HOST:5432/DATABASE") as caught:
        Settings.from_env({"DATABASE_URL": text})
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("env", [{}, {"DATABASE_URL": ""}, {"DATABASE_URL": "  \n"}])
def test_a_missing_url_says_what_to_type(env: dict[str, str]) -> None:
    settings = Settings.from_env(env)
    assert settings.database_url is None
    with pytest.raises(errors.SettingsError) as caught:
        settings.required_database_url()
    message = str(caught.value)
    assert message.startswith("DATABASE_URL environment variable not set")
    assert "export DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/DATABASE" in message
    assert "embedded:PATH" in message


@pytest.mark.parametrize("text", ["0", "-4", "16001", "4.0", "wide", "٤", "1_024", "0x10", "9" * 5000])
def test_a_width_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"MEMSTORE_EMBEDDING_DIM is .* from 1 to 16000"):
        Settings.from_env({"MEMSTORE_EMBEDDING_DIM": text})


@pytest.mark.parametrize(("text", "width"), [("1", 1), ("16000", 16_000), (" 384 ", 384)])
def test_a_width_is_read(text: str, width: int) -> None:
    assert Settings.from_env({"MEMSTORE_EMBEDDING_DIM": text}).embedding_dim == width


def test_a_bad_width_names_where_it_came_from() -> None:
    with pytest.raises(errors.SettingsError, match=r"^-x embedding_dim is 'wide'"):
        parse_embedding_dim("wide", "-x embedding_dim")


@pytest.mark.parametrize(("name", "text"), NUMBERS)
def test_a_bad_number_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"^{name} is '{text}'. Needed: a number of at least"):
        Settings.from_env({name: text})


def test_numbers_are_read() -> None:
    env = {
        "MEMSTORE_LOCK_TIMEOUT_MS": "500",
        "MEMSTORE_LOCK_RETRIES": "0",
        "MEMSTORE_MIGRATION_WAIT_S": "0.5",
    }
    settings = Settings.from_env(env)
    assert (settings.lock_timeout_ms, settings.lock_retries, settings.migration_wait_s) == (500, 0, 0.5)
    assert Settings.from_env(dict.fromkeys(env, "")) == Settings()


def test_the_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", FORMS[0])
    monkeypatch.setenv("MEMSTORE_EMBEDDING_DIM", "384")
    assert Settings.from_env() == Settings(parse_database_url(FORMS[0]), embedding_dim=384)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().embedding_dim = 4  # type: ignore[misc]
