"""The `memory` section of a config.yaml: which store, and how to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.engine import URL

from ..errors import MissingPackageError, SettingsError
from ..settings import DRIVER, parse_database_url
from .expansion import expanded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What a key holds. A number may be text too: that is what a variable expands to.
_KEYS: dict[str, Any] = {
    "backend": str,
    "search_metrics": float,
    "postgres": {
        "url": str,
        "host": str,
        "port": int,
        "database": str,
        "user": str,
        "password": str,
        "sslmode": str,
        "pool_size": int,
        "pool_timeout_s": float,
    },
    "file": {"path": str},
}
_SERVER = ("host", "port", "database", "user", "password", "sslmode")


def read_config(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the `memory` section of a file, checked and expanded; the URL of its server under `database_url`.

    Raises:
        MissingPackageError: the extra `config` is not installed.
        SettingsError: the file cannot be read, has a key that is not known, or one that holds something else.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingPackageError(f"reading {path}", "config") from error
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}. Correct MEMSTORE_CONFIG, or the file") from error
    except yaml.YAMLError as error:
        # `from None`: the parser quotes the line, password and all.
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise SettingsError(
            f"{path} is no YAML{where}. Quote what has a meaning in YAML, such as ': ' or '#'"
        ) from None
    section = (found or {}).get("memory", {}) if isinstance(found, dict | None) else None
    if not isinstance(section, dict):
        raise SettingsError(f"{path} has no section memory. Needed: memory: {{backend: postgres, postgres: {{...}}}}")
    try:
        checked = cast("dict[str, Any]", _checked(expanded(section, environ, "memory"), _KEYS, "memory"))
        checked["database_url"] = _database_url(checked.get("postgres", {}))
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return checked


def _checked(value: Any, kind: Any, key: str) -> Any:
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            raise SettingsError(f"{key} is no section. Needed: {', '.join(kind)} under it")
        if unknown := sorted(str(name) for name in value if name not in kind):
            raise SettingsError(f"{key} has {', '.join(unknown)}. Known: {', '.join(kind)}")
        return {name: _checked(item, kind[name], f"{key}.{name}") for name, item in value.items() if item is not None}
    if kind is str:
        # A password of digits is a number to YAML.
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise SettingsError(f"{key} is no text. Write it in quotes")
        return str(value)
    try:
        return kind(str(value))
    except ValueError:
        raise SettingsError(f"{key} is {str(value)[:20]!r}. Needed: a number") from None


def _database_url(server: Mapping[str, Any]) -> URL | None:
    parts = [name for name in _SERVER if name in server]
    if "url" in server:
        if parts:
            raise SettingsError(f"memory.postgres has url and {', '.join(parts)}. Needed: the url, or the parts of it")
        return parse_database_url(server["url"])
    if not parts:
        return None
    return URL.create(
        DRIVER,
        username=server.get("user"),
        password=server.get("password"),
        host=server.get("host"),
        port=server.get("port"),
        database=server.get("database"),
        query={"sslmode": server["sslmode"]} if "sslmode" in server else {},
    )
