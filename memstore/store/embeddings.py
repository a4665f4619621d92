"""Embeddings of anything, by any registered model: registering models, writing and deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Integer, String, bindparam, delete, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Uuid

from ..database import driver_error
from ..errors import EmbeddingModelError, SettingsError, VectorError
from ..models import Distance, Embedding, EmbeddingModel
from ..scope import scope_of
from .checks import MAX_DIMENSIONS, check_text, checked_vector

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from numpy.typing import ArrayLike
    from sqlalchemy.ext.asyncio import AsyncSession

_UPSERT = text("""
    SELECT id, changed FROM memstore.upsert_embedding(
        tenant => :tenant, source_type => :source_type, source_id => :source_id, model => :model,
        embedding => :embedding, content_hash => :content_hash, content => :content, chunk_index => :chunk_index,
        metadata => :metadata)
""").bindparams(
    bindparam("tenant", type_=Uuid()),
    bindparam("source_type", type_=String()),
    bindparam("source_id", type_=String()),
    bindparam("model", type_=String()),
    bindparam("embedding", type_=VECTOR()),
    bindparam("content_hash", type_=BYTEA()),
    bindparam("content", type_=String()),
    bindparam("chunk_index", type_=Integer()),
    bindparam("metadata", type_=JSONB()),
)


async def register_embedding_model(
    session: AsyncSession, name: str, dimensions: int, distance: Distance = Distance.COSINE
) -> None:
    """Register a model for all tenants; the same again changes nothing.

    Args:
        session: any session; the model is there for others when its transaction is committed.
        name: 1 to 100 characters.
        dimensions: width of its vectors, 1 to 16,000.
        distance: how its vectors compare.

    Raises:
        EmbeddingModelError: it is registered with another width or distance.
        SettingsError: the name or the width is out of range.
        ValueError: there is no such distance.
    """
    check_text("the name of a model", name, 100)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise SettingsError(f"the model {name!r} has {dimensions} dimensions. Needed: 1 to {MAX_DIMENSIONS:,}")
    values = {"name": name, "dimensions": dimensions, "distance": Distance(distance)}
    await session.execute(insert(EmbeddingModel).values(values).on_conflict_do_nothing())
    found = await session.get_one(EmbeddingModel, name, populate_existing=True)
    if (found.dimensions, found.distance) != (dimensions, distance):
        raise EmbeddingModelError(
            f"the model {name!r} is registered with {found.dimensions} dimensions and distance {found.distance}, not "
            f"with {dimensions} and {distance}. Register yours under another name"
        )


async def upsert_embedding(
    session: AsyncSession,
    source_type: str,
    source_id: str,
    model: str,
    embedding: ArrayLike,
    *,
    content_hash: bytes | None = None,
    content: str | None = None,
    chunk_index: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[UUID, bool]:
    """Keep one row for each source, model and chunk, however many write it; return its id, and whether it changed.

    Args:
        session: a `memstore.tenant_session`; the row is its tenant's.
        source_type: what was embedded, such as document.
        source_id: its id there.
        model: the name of a registered model.
        embedding: shape (D,), D being the width of the model.
        content_hash: sha256 of the text; worked out from `content` when None. The same as before changes nothing.
        content: the text, to be kept beside the vector.
        chunk_index: which piece of the source.
        metadata: free-form.

    Raises:
        EmbeddingModelError: there is no such model.
        VectorError: the vector has another width than the model, is not finite, or has no cosine.
        SettingsError: neither content nor content_hash was given, or a value is out of range or no text.
        TenantScopeError: the session is not of a tenant.
    """
    _check_source(source_type, source_id)
    check_text("the content", content or "")
    if content is None and content_hash is None:
        raise SettingsError("the embedding has neither content nor content_hash. Give one, to see when it changes")
    if content_hash is not None and len(content_hash) != 32:
        raise SettingsError(f"content_hash has {len(content_hash)} bytes. Needed: the 32 of a sha256")
    if not 0 <= chunk_index < 2**31:
        raise SettingsError(f"chunk_index is {chunk_index}. Needed: 0 to {2**31 - 1}")
    values = {
        "tenant": scope_of(session)[0],
        "source_type": source_type,
        "source_id": source_id,
        "model": model,
        "embedding": checked_vector(embedding),
        "content_hash": content_hash,
        "content": content,
        "chunk_index": chunk_index,
        "metadata": dict(metadata or {}),
    }
    row = (await execute_explained(session, _UPSERT, values)).one()
    return row.id, row.changed


async def delete_embeddings(session: AsyncSession, source_type: str, source_id: str, *, from_chunk: int = 0) -> int:
    """Delete the embeddings of a source, by all models, and return how many there were.

    Args:
        session: a `memstore.tenant_session`; only its tenant's are deleted.
        source_type: what was embedded.
        source_id: its id there.
        from_chunk: keep the pieces before this one, for a source that has become shorter.

    Raises:
        TenantScopeError: the session is not of a tenant.
    """
    tenant, _ = scope_of(session)
    _check_source(source_type, source_id)
    of_source = (Embedding.source_type == source_type, Embedding.source_id == source_id)
    statement = delete(Embedding).where(Embedding.tenant_id == tenant, *of_source, Embedding.chunk_index >= from_chunk)
    result: Any = await session.execute(statement)
    return int(result.rowcount)


def _check_source(source_type: str, source_id: str) -> None:
    check_text("source_type", source_type, 100)
    check_text("source_id", source_id, 255)


async def execute_explained(session: AsyncSession, statement: Any, values: dict[str, Any]) -> Any:
    """Run a function of the database; what it raises about models and widths becomes an error of ours."""
    try:
        return await session.execute(statement, values)
    except DBAPIError as error:
        cause: Any = driver_error(error)
        message = str(cause).splitlines()[0]
        match getattr(cause, "constraint_name", None):
            case "embedding_width":
                raise VectorError(f"{message}. Embed with that model, or name the one you used") from error
            case "embedding_model":
                raise EmbeddingModelError(f"{message}. Register it: memstore.store.register_embedding_model") from error
        raise
