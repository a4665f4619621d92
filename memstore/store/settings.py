"""Which store an application wants: by the environment, by a config.yaml, the environment first."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..settings import URL_FORMS, Settings
from .config_file import read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL

DEFAULT_CONFIG = Path("config.yaml")


class Backend(StrEnum):
    """What a store keeps memories in."""

    POSTGRES = "postgres"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Which store is wanted, and how to reach it.

    backend: MEMSTORE_BACKEND, `memory.backend`.
    database_url: DATABASE_URL, `memory.postgres.url` or its parts; its `repr` hides the password.
    path: MEMSTORE_PATH, `memory.file.path`: the folder of a store in files.
    pool_size: MEMSTORE_POOL_SIZE, `memory.postgres.pool_size`: how many connections at most.
    pool_timeout_s: MEMSTORE_POOL_TIMEOUT_S, `memory.postgres.pool_timeout_s`: how long to wait for one, in seconds.
    search_metrics: MEMSTORE_SEARCH_METRICS, `memory.search_metrics`: which share of searches is recorded, 0 to 1.
    """

    backend: Backend = Backend.POSTGRES
    database_url: URL | None = field(default=None)
    path: Path | None = None
    pool_size: int = 10
    pool_timeout_s: float = 30.0
    search_metrics: float = 0.0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "backend", Backend(self.backend))
        except ValueError:
            raise SettingsError(f"the backend is {self.backend!r}. Needed: {' or '.join(Backend)}") from None
        for name, value, low, high in (
            ("the pool size", self.pool_size, 1, 10_000),
            ("the pool timeout", self.pool_timeout_s, 0, 86_400),
            ("the share of searches to record", self.search_metrics, 0, 1),
        ):
            if not low <= value <= high:
                raise SettingsError(f"{name} is {value}. Needed: {low} to {high}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> StoreSettings:
        """Read the environment, and the file that MEMSTORE_CONFIG names, else ./config.yaml if there is one.

        Raises:
            SettingsError: something cannot be read; the message names the variable or the key, and never a password.
            MissingPackageError: there is a file, and the extra `config` is not installed.
        """
        env = os.environ if environ is None else environ
        found = _from_file(env)
        if text := env.get("MEMSTORE_BACKEND", "").strip():
            found["backend"] = text
        if (url := Settings.from_env({"DATABASE_URL": env.get("DATABASE_URL", "")}).database_url) is not None:
            found["database_url"] = url
        if text := env.get("MEMSTORE_PATH", "").strip():
            found["path"] = Path(text)
        for name, variable, kind in _NUMBERS:
            if text := env.get(variable, "").strip():
                found[name] = _number(variable, text, kind)
        return cls(**found)

    def required_database_url(self) -> URL:
        """Return the database URL, or say that it is missing and what to type."""
        if self.database_url is None:
            raise SettingsError(
                "DATABASE_URL environment variable not set. Type: export DATABASE_URL="
                f"{URL_FORMS}; or write it under memory.postgres.url in {DEFAULT_CONFIG}"
            )
        return self.database_url

    def required_path(self) -> Path:
        """Return the folder of a store in files, or say that it is missing and what to type."""
        if self.path is None:
            raise SettingsError("the store in files has no folder. Set MEMSTORE_PATH, or memory.file.path")
        return self.path


_NUMBERS: tuple[tuple[str, str, type[int] | type[float]], ...] = (
    ("pool_size", "MEMSTORE_POOL_SIZE", int),
    ("pool_timeout_s", "MEMSTORE_POOL_TIMEOUT_S", float),
    ("search_metrics", "MEMSTORE_SEARCH_METRICS", float),
)


def _number(variable: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(f"{variable} is {text[:20]!r}. Needed: a number") from None


def _from_file(env: Mapping[str, str]) -> dict[str, Any]:
    named = env.get("MEMSTORE_CONFIG", "").strip()
    if not named and not DEFAULT_CONFIG.is_file():
        return {}
    section = read_config(Path(named) if named else DEFAULT_CONFIG, env)
    server = section.get("postgres", {})
    found = {
        "backend": section.get("backend"),
        "database_url": section["database_url"],
        "path": Path(path) if (path := section.get("file", {}).get("path")) else None,
        "pool_size": server.get("pool_size"),
        "pool_timeout_s": server.get("pool_timeout_s"),
        "search_metrics": section.get("search_metrics"),
    }
    return {name: value for name, value in found.items() if value is not None}
