from __future__ import annotations

from pathlib import Path

import pytest

from memstore.errors import SettingsError
from memstore.milvus import MilvusSettings, VectorIndexChoice


def test_by_default_it_is_a_milvus_lite_beside_the_project() -> None:
    settings = MilvusSettings.from_env({})
    assert settings.is_lite
    assert settings.folder == Path(".memstore/milvus.db").resolve()
    assert settings.vector_index is VectorIndexChoice.AUTO


def test_the_environment_names_a_server() -> None:
    named = MilvusSettings.from_env({"MILVUS_URI": "https://milvus.example", "MILVUS_TOKEN": "ines:hunter2"})
    assert (named.uri, named.token, named.is_lite) == ("https://milvus.example", "ines:hunter2", False)
    assert MilvusSettings.from_env({"MILVUS_HOST": "db", "MILVUS_PORT": "1953"}).uri == "http://db:1953"
    assert MilvusSettings.from_env({"MILVUS_HOST": "db"}).uri == "http://db:19530"
    assert MilvusSettings.from_env({"MILVUS_TIMEOUT_S": "2.5", "MILVUS_VECTOR_INDEX": "HNSW"}) == MilvusSettings(
        timeout_s=2.5, vector_index=VectorIndexChoice.HNSW
    )


def test_a_token_is_never_shown() -> None:
    assert "hunter2" not in repr(MilvusSettings(token="ines:hunter2"))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MILVUS_URI": "http://a", "MILVUS_HOST": "b"}, "MILVUS_URI is set, and MILVUS_HOST"),
        ({"MILVUS_PORT": "19530"}, "MILVUS_PORT is set and MILVUS_HOST is not"),
        ({"MILVUS_HOST": "db", "MILVUS_PORT": "http"}, "MILVUS_PORT is 'http'. Needed: 1 to 65535"),
        ({"MILVUS_HOST": "db", "MILVUS_PORT": "70000"}, "MILVUS_PORT is '70000'"),
        ({"MILVUS_TIMEOUT_S": "soon"}, "MILVUS_TIMEOUT_S is 'soon'. Needed: a number"),
        ({"MILVUS_TIMEOUT_S": "0"}, "the timeout of Milvus is 0.0. Needed: seconds"),
        ({"MILVUS_VECTOR_INDEX": "DISKANN"}, "MILVUS_VECTOR_INDEX is 'diskann'. Needed: auto, flat, hnsw, ivf_flat"),
        ({"MILVUS_URI": "./milvus"}, "the address of Milvus is './milvus'. Needed: http://HOST:19530"),
        ({"MILVUS_URI": "ftp://db"}, "the address of Milvus is 'ftp://db'"),
    ],
)
def test_what_cannot_be_used_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MilvusSettings.from_env(environment)
    assert message in str(caught.value)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="Set MILVUS_TOKEN=USER:PASSWORD") as caught:
        MilvusSettings.from_env({"MILVUS_URI": "http://ines:hunter2@db:19530"})
    assert "hunter2" not in str(caught.value)
