"""Finding memories again: exact cosine order within a tenant's scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Float, bindparam, func, or_, select, text
from sqlalchemy.exc import DBAPIError

from ..database import driver_error
from ..errors import SettingsError, UnknownMemoryError, VectorError
from ..models import MemoryNode
from ..models.types import EmbeddingVector
from .checks import checked_vector, is_storable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sqlalchemy.ext.asyncio import AsyncSession

MAX_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that was found: `score` is its cosine similarity to what was asked, from -1 to 1."""

    score: float
    memory: MemoryNode


async def search(session: AsyncSession, vector: ArrayLike, *, limit: int = 10) -> list[Hit]:
    """Return the live memories of a scope that are nearest to `vector`, best first.

    Every memory of the scope is compared: the order is exact, whatever indexes there are. Deleted and expired ones are
    left out; equal scores are ordered by id.

    Args:
        session: a `memstore.tenant_session`; its tenant and user are the scope.
        vector: shape (D,) or (1, D), D being the width of this database's embeddings.
        limit: how many at most, 1 to 1,000.

    Raises:
        VectorError: the vector has another shape, is not finite, or has no cosine.
        SettingsError: the limit is out of range.
    """
    return await _nearest(session, checked_vector(vector), limit)


async def like(session: AsyncSession, node_id: str, *, limit: int = 10) -> list[Hit]:
    """Return the live memories of a scope that are nearest to one of its own, which is left out itself.

    Raises:
        UnknownMemoryError: the scope has no such memory, or it has no vector.
        SettingsError: the limit is out of range.
    """
    known = select(MemoryNode.embedding).where(MemoryNode.id == node_id)
    found = (await session.execute(known)).first() if is_storable(node_id) else None
    if found is None:
        raise UnknownMemoryError(f"there is no memory {node_id!r} in this scope. Name one of this tenant's or user's")
    if found.embedding is None:
        raise UnknownMemoryError(f"the memory {node_id!r} has no vector to compare with. Search with a vector instead")
    return await _nearest(session, found.embedding, limit, MemoryNode.id != node_id)


async def _nearest(session: AsyncSession, vector: list[float], limit: int, *where: ColumnElement[bool]) -> list[Hit]:
    if not 1 <= limit <= MAX_LIMIT:
        raise SettingsError(f"the limit is {limit}. Needed: 1 to {MAX_LIMIT:,}")
    asked = bindparam("vector", vector, type_=EmbeddingVector())
    # Ordered by the score, not by the distance: no vector index serves that, so none can make the result inexact.
    score = (1 - MemoryNode.embedding.op("<=>", return_type=Float)(asked)).label("score")
    live = [MemoryNode.deleted_at.is_(None), or_(MemoryNode.expiry.is_(None), MemoryNode.expiry > func.now())]
    statement = (
        select(MemoryNode, score)
        .where(MemoryNode.embedding.is_not(None), *live, *where)
        .order_by(score.desc(), MemoryNode.id)
        .limit(limit)
    )
    try:
        rows = (await session.execute(statement)).all()
    except DBAPIError as error:
        if "different vector dimensions" not in str(error):
            raise
        raise _other_width(vector, str(driver_error(error))) from error
    if not rows:  # with nothing to compare with, pgvector has not compared the widths either
        width = await session.scalar(text("SELECT value::int FROM memstore.settings WHERE key = 'embedding_dim'"))
        if width != len(vector):
            raise _other_width(vector, f"they have {width}")
    return [Hit(min(1.0, max(-1.0, found)), memory) for memory, found in rows]


def _other_width(vector: list[float], found: str) -> VectorError:
    return VectorError(
        f"the vector has {len(vector)} dimensions, the memories of this database another number: {found}. "
        "Embed the question with the model that embedded the memories"
    )
