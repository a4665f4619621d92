"""Which Milvus is meant: by the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URI = ".memstore/milvus.db"
DEFAULT_PORT = 19_530
_LITE_SUFFIX = ".db"
_SCHEMES = ("http", "https", "tcp")
_FORMS = f"http://HOST:{DEFAULT_PORT}, https://HOST, or a folder for Milvus Lite that ends in {_LITE_SUFFIX}"


class VectorIndexChoice(StrEnum):
    """Which vector index a new collection gets; `auto`: FLAT on Milvus Lite, HNSW on a server."""

    AUTO = "auto"
    FLAT = "flat"
    HNSW = "hnsw"
    IVF_FLAT = "ivf_flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusSettings:
    """Which Milvus is meant, and how to reach it.

    uri: MILVUS_URI, or MILVUS_HOST with MILVUS_PORT: a server, or the folder of a Milvus Lite.
    token: MILVUS_TOKEN: `USER:PASSWORD` or an API key; never shown.
    timeout_s: MILVUS_TIMEOUT_S: how long one call may take, in seconds.
    vector_index: MILVUS_VECTOR_INDEX: which vector index a new collection gets.

    Raises:
        SettingsError: something cannot be used; the message never repeats a password.
    """

    uri: str = DEFAULT_URI
    token: str = field(default="", repr=False)
    timeout_s: float = 30.0
    vector_index: VectorIndexChoice = VectorIndexChoice.AUTO

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 3_600:
            raise SettingsError(f"the timeout of Milvus is {self.timeout_s}. Needed: seconds up to 3600, such as 30")
        if self.is_lite:
            return
        parts = urlsplit(self.uri)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise SettingsError(f"the address of Milvus is {_shown(self.uri)!r}. Needed: {_FORMS}")
        if parts.username is not None or parts.password is not None:
            raise SettingsError("the address of Milvus holds a user or a password. Set MILVUS_TOKEN=USER:PASSWORD")

    @property
    def is_lite(self) -> bool:
        """Whether it is a Milvus Lite, in a folder."""
        return "://" not in self.uri and self.uri.endswith(_LITE_SUFFIX)

    @property
    def folder(self) -> Path:
        """Where a Milvus Lite keeps its files."""
        return Path(self.uri).expanduser().resolve()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> MilvusSettings:
        """Read the environment.

        Raises:
            SettingsError: a variable holds something that cannot be used; the message names the variable.
        """
        env = os.environ if environ is None else environ
        index = env.get("MILVUS_VECTOR_INDEX", "").strip().lower() or VectorIndexChoice.AUTO.value
        if index not in list(VectorIndexChoice):
            raise SettingsError(f"MILVUS_VECTOR_INDEX is {index[:20]!r}. Needed: {', '.join(VectorIndexChoice)}")
        return cls(
            uri=_uri(env),
            token=env.get("MILVUS_TOKEN", "").strip(),
            timeout_s=_number(env, "MILVUS_TIMEOUT_S", cls().timeout_s),
            vector_index=VectorIndexChoice(index),
        )


def _uri(env: Mapping[str, str]) -> str:
    uri, host, port = (env.get(name, "").strip() for name in ("MILVUS_URI", "MILVUS_HOST", "MILVUS_PORT"))
    if uri and (host or port):
        raise SettingsError("MILVUS_URI is set, and MILVUS_HOST or MILVUS_PORT too. Unset one of them")
    if port and not host:
        raise SettingsError("MILVUS_PORT is set and MILVUS_HOST is not. Set both, or MILVUS_URI")
    if not host:
        return uri or DEFAULT_URI
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise SettingsError(f"MILVUS_PORT is {port[:20]!r}. Needed: 1 to 65535, such as {DEFAULT_PORT}")
    return f"http://{host}:{port or DEFAULT_PORT}"


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise SettingsError(f"{name} is {text[:20]!r}. Needed: a number, such as {default:g}") from None


def _shown(uri: str) -> str:
    return uri.rpartition("@")[2]
