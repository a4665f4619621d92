"""Vectors in binary, and objects of JSON, on every connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgvector.asyncpg import register_vector

from ...errors import SchemaMismatchError

if TYPE_CHECKING:
    import asyncpg
    from numpy.typing import NDArray
    from pgvector import Vector

_SCHEMA_OF_VECTOR = """
    SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'
"""


async def register_codecs(driver: asyncpg.Connection) -> str:
    """Let a connection send and receive vectors and objects of JSON; return the schema that vectors live in.

    Raises:
        SchemaMismatchError: the database has no vectors.
    """
    try:
        schema: str | None = await driver.fetchval(_SCHEMA_OF_VECTOR)
        if schema is not None:
            await register_vector(driver, schema=schema)
            # What SQLAlchemy registers for it is another thing from one version to the next.
            await driver.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=_from_json)
            return schema
    except BaseException:
        driver.terminate()  # the pool forgets a connection that it could not set up, and leaves it open
        raise
    driver.terminate()
    raise SchemaMismatchError(
        "the database has no extension vector. Run: memstore db upgrade", found=None, needed="the extension vector"
    )


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) if value else "{}"


def _from_json(text: str) -> Any:
    return json.loads(text) if len(text) > 2 else {}  # no object is shorter than an empty one


def array_of(vector: Vector | NDArray[Any]) -> NDArray[Any]:
    """Return a vector as it was received as an array of shape (D,), float32 in the machine's byte order."""
    import numpy as np  # see `checks.checked_array`

    # Before pgvector 0.5 it is an array already, of the network's byte order.
    received = vector if isinstance(vector, np.ndarray) else vector.to_numpy()
    return np.asarray(received, dtype=np.float32)
