"""The environment variables of memstore are read here, once, into one frozen dataclass.

But for those that choose a store: see `memstore.store.StoreSettings`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

EMBEDDED = "embedded"
DRIVER = "postgresql+asyncpg"
ACCEPTED_DRIVERS = ("postgresql", "postgres", DRIVER, "postgresql+psycopg")
MAX_EMBEDDING_DIM = 16_000  # the widest `vector` column of pgvector
URL_FORMS = "postgresql://USER:PASSWORD@HOST:5432/DATABASE or embedded:PATH"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for.

    database_url: where the database is, None when DATABASE_URL is not set; its `repr` hides the password.
    embedding_dim: width of `memory_nodes.embedding`, used by the first upgrade only; None means "as the database
        says", and 1024 where there is none yet.
    lock_timeout_ms: how long a statement that locks others out may wait for its lock, and others behind it, in
        milliseconds.
    lock_retries: how often what ran into `lock_timeout` is tried again, with growing pauses, 10 s at most.
    concurrent_lock_timeout_ms: how long one that locks nobody out, such as the concurrent build of an index, may wait
        for the transactions that are open, in milliseconds.
    concurrent_lock_retries: how often that is tried again.
    maintenance_work_mem: memory for building an index, such as `2GB`; as the server says when None.
    migration_wait_s: how long to wait for another runner's migration lock, in seconds.
    """

    database_url: URL | None = None
    embedding_dim: int | None = None
    lock_timeout_ms: int = 100
    lock_retries: int = 40
    concurrent_lock_timeout_ms: int = 600_000
    concurrent_lock_retries: int = 3
    maintenance_work_mem: str | None = None
    migration_wait_s: float = 300.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Raises:
            SettingsError: a variable holds something that cannot be read; the message names the variable.
        """
        env = os.environ if environ is None else environ
        url = env.get("DATABASE_URL", "").strip()
        dim = env.get("MEMSTORE_EMBEDDING_DIM", "").strip()
        return cls(
            database_url=parse_database_url(url) if url else None,
            embedding_dim=parse_embedding_dim(dim, "MEMSTORE_EMBEDDING_DIM") if dim else None,
            lock_timeout_ms=int(_number(env, "MEMSTORE_LOCK_TIMEOUT_MS", cls().lock_timeout_ms, at_least=1)),
            lock_retries=int(_number(env, "MEMSTORE_LOCK_RETRIES", cls().lock_retries, at_least=0)),
            concurrent_lock_timeout_ms=int(
                _number(env, "MEMSTORE_CONCURRENT_LOCK_TIMEOUT_MS", cls().concurrent_lock_timeout_ms, at_least=1)
            ),
            concurrent_lock_retries=int(
                _number(env, "MEMSTORE_CONCURRENT_LOCK_RETRIES", cls().concurrent_lock_retries, at_least=0)
            ),
            maintenance_work_mem=_memory(env, "MEMSTORE_MAINTENANCE_WORK_MEM"),
            migration_wait_s=_number(env, "MEMSTORE_MIGRATION_WAIT_S", cls().migration_wait_s, at_least=0),
        )

    def required_database_url(self) -> URL:
        """Return the database URL, or say that it is missing and what to type."""
        if self.database_url is None:
            message = f"DATABASE_URL environment variable not set. Type: export DATABASE_URL={URL_FORMS.split()[0]}"
            raise SettingsError(f"{message} (or embedded:PATH for a PostgreSQL of its own in a folder)")
        return self.database_url


def settings_beside_a_host() -> Settings:
    """Read the environment, but for DATABASE_URL: it is the application's, and may name a driver that it alone uses."""
    return Settings.from_env({**os.environ, "DATABASE_URL": ""})


def parse_database_url(text: str) -> URL:
    """Parse a database URL in any of the accepted forms into one for asyncpg, or `embedded:PATH` into its like.

    User and password given as query parameters move to where their rendering is hidden.

    Raises:
        SettingsError: it is not a URL, or of a database or driver that memstore does not speak. The message never
            repeats the URL, which may hold a password.
    """
    if text.startswith(f"{EMBEDDED}:"):
        path = text.removeprefix(f"{EMBEDDED}:").removeprefix("//")
        if not path:
            raise SettingsError(f"the database URL 'embedded:' names no folder. Needed: {URL_FORMS}")
        return URL.create(EMBEDDED, database=path)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # `from None`: the parser's own message quotes the text, password and all.
        raise SettingsError(f"the database URL cannot be parsed. Needed: {URL_FORMS}") from None
    if text.count("@") > (url.username is not None):
        # What follows the first @ is taken for host, database or parameters, all of which are shown.
        raise SettingsError(f"the database URL has an @ too many. In a password type %40. Needed: {URL_FORMS}")
    return normalise(url)


def normalise(url: URL) -> URL:
    """Return the URL for asyncpg that is meant by any of the accepted ones; one for an embedded server stays.

    Raises:
        SettingsError: it is of a database or driver that memstore does not speak, or holds what cannot be used.
    """
    if url.drivername == EMBEDDED:
        return url
    if url.drivername not in ACCEPTED_DRIVERS:
        raise SettingsError(f"the database URL is for {url.drivername!r}. Needed: {URL_FORMS}")
    if url.port is not None and not 0 < url.port < 65_536:
        raise SettingsError(f"the database URL names port {url.port}. Needed: 1 to 65535, such as 5432")
    query = dict(url.query)
    if "sslpassword" in query:
        raise SettingsError("the database URL has sslpassword, which would be shown. Use a key without a password")
    username, password = query.pop("user", None), query.pop("password", None)
    url = url.set(drivername=DRIVER, query=query)
    if isinstance(username, str) and url.username is None:
        url = url.set(username=username)
    if isinstance(password, str) and url.password is None:
        url = url.set(password=password)
    return url


def parse_embedding_dim(text: str, source: str) -> int:
    """Parse an embedding width, 1 to 16,000; `source` names where it came from in the error."""
    dim = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_EMBEDDING_DIM)) else 0
    if not 1 <= dim <= MAX_EMBEDDING_DIM:
        raise SettingsError(
            f"{source} is {text[:20]!r}. Needed: a whole number from 1 to {MAX_EMBEDDING_DIM}, such as 1024"
        )
    return dim


def _number(env: Mapping[str, str], name: str, default: float, *, at_least: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not at_least <= value < float("inf"):
        raise SettingsError(f"{name} is {text!r}. Needed: a number of at least {at_least:g}, such as {default:g}")
    return value


def _memory(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name, "").strip()
    if text and re.fullmatch(r"[1-9][0-9]{0,9} ?(kB|MB|GB|TB)", text) is None:
        raise SettingsError(f"{name} is {text[:20]!r}. Needed: a number and kB, MB, GB or TB, such as 2GB")
    return text or None
