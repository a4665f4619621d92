from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore.database import create_engine
from memstore.errors import EmbeddingModelError, SettingsError, TenantScopeError, VectorError
from memstore.models import Distance, Embedding, EmbeddingModel, Tenant
from memstore.scope import tenant_session
from memstore.store import delete_embeddings, register_embedding_model, similarity_search, upsert_embedding

ACME, INITECH = UUID(int=1), UUID(int=2)


@pytest_asyncio.fixture
async def models(engine: AsyncEngine) -> AsyncEngine:
    """Two tenants, and two models: small of 3 dimensions, large of 5."""
    async with AsyncSession(engine) as session:
        session.add_all([Tenant(id=ACME, name="Acme"), Tenant(id=INITECH, name="Initech")])
        await register_embedding_model(session, "small", 3)
        await register_embedding_model(session, "large", 5, Distance.L2)
        await session.commit()
    return engine


async def put(engine: AsyncEngine, source_id: str, vector: list[float], **given: Any) -> tuple[UUID, bool]:
    arguments = {"model": "small", "content": source_id} | given
    tenant, kind = arguments.pop("tenant", ACME), arguments.pop("source_type", "page")
    async with tenant_session(engine, tenant) as session:
        return await upsert_embedding(session, kind, source_id, embedding=vector, **arguments)


async def rows(engine: AsyncEngine) -> list[Any]:
    query = text("SELECT * FROM memstore.embeddings ORDER BY created_at")
    async with engine.connect() as connection:
        return list(await connection.execute(query))


async def test_the_same_text_changes_nothing_and_another_changes_the_row(models: AsyncEngine) -> None:
    id_, changed = await put(models, "one", [1, 0, 0], content="tea", metadata={"page": 1})
    (before,) = await rows(models)
    assert changed
    assert (before.id, before.content_hash, before.dimensions) == (id_, sha256(b"tea").digest(), 3)
    assert await put(models, "one", [0, 1, 0], content="tea", metadata={"page": 2}) == (id_, False)
    assert await put(models, "one", [0, 1, 0], content=None, content_hash=sha256(b"tea").digest()) == (id_, False)
    assert await rows(models) == [before]
    assert await put(models, "one", [0, 1, 0], content="coffee", metadata={"page": 2}) == (id_, True)
    (after,) = await rows(models)
    assert (after.id, after.version, after.content, after.metadata) == (id_, 2, "coffee", {"page": 2})
    assert after.updated_at > before.updated_at
    assert (after.embedding, after.search_vector) == ("[0,1,0]", "'coffe':1")


async def test_each_model_chunk_source_and_tenant_has_a_row_of_its_own(models: AsyncEngine) -> None:
    first, _ = await put(models, "one", [1, 0, 0])
    others = [
        await put(models, "one", [1, 0, 0, 0, 0], model="large"),
        await put(models, "one", [1, 0, 0], chunk_index=1),
        await put(models, "one", [1, 0, 0], source_type="mail"),
        await put(models, "two", [1, 0, 0]),
        await put(models, "one", [1, 0, 0], tenant=INITECH),
    ]
    assert all(changed for _, changed in others)
    assert len({first, *(id_ for id_, _ in others)}) == 6


async def test_64_calls_at_once_leave_one_row(models: AsyncEngine) -> None:
    engine = create_engine(models.url, pool_size=64, max_overflow=0)
    texts = [f"text {number % 4}" for number in range(64)]
    found = await asyncio.gather(
        *(put(engine, "one", [1, 0, number], content=text) for number, text in enumerate(texts))
    )
    await engine.dispose()
    (row,) = await rows(models)
    assert {id_ for id_, _ in found} == {row.id}
    assert row.version == sum(changed for _, changed in found)
    assert 4 <= row.version <= 64
    assert row.content_hash == sha256(row.content.encode()).digest()
    same = await asyncio.gather(*(put(models, "two", [1, 0, 0]) for _ in range(8)))
    assert sorted(changed for _, changed in same) == [False] * 7 + [True]


async def test_a_wrong_width_names_the_model_and_both_widths(models: AsyncEngine) -> None:
    with pytest.raises(VectorError, match="the model 'small' makes vectors of 3 dimensions, this one has 5"):
        await put(models, "one", [1, 0, 0, 0, 0])
    with pytest.raises(EmbeddingModelError, match="no embedding model 'huge'. Register it"):
        await put(models, "one", [1, 0, 0], model="huge")
    async with tenant_session(models, ACME) as session:
        with pytest.raises(VectorError, match="'large' makes vectors of 5 dimensions, this one has 3"):
            await similarity_search(session, "large", [1, 0, 0])
        await session.rollback()
        with pytest.raises(EmbeddingModelError, match="no embedding model 'huge'"):
            await similarity_search(session, "huge", [1, 0, 0])
    assert await rows(models) == []


async def test_a_row_written_past_the_function_is_held_to_the_width_too(models: AsyncEngine) -> None:
    async with tenant_session(models, ACME) as session:
        given = {"source_type": "page", "source_id": "one", "model": "small", "content_hash": bytes(32)}
        session.add(Embedding(**given, embedding=[1, 2, 3, 4]))
        with pytest.raises(DBAPIError, match="fk_embeddings_model_dimensions_embedding_models"):
            await session.flush()
        await session.rollback()


@pytest.mark.parametrize(
    "vector",
    [[0, 0, 0], [1, float("nan"), 0], [[1, 0, 0], [0, 1, 0]], [], [1] * 16_001],
    ids=lambda each: str(each)[:9],
)
async def test_what_is_no_vector_is_refused(models: AsyncEngine, vector: Any) -> None:
    with pytest.raises(VectorError):
        await put(models, "one", vector)
    async with tenant_session(models, ACME) as session:
        with pytest.raises(VectorError):
            await similarity_search(session, "small", vector)


async def test_an_embedding_needs_a_text_or_its_hash(models: AsyncEngine) -> None:
    with pytest.raises(SettingsError, match="neither content nor content_hash"):
        await put(models, "one", [1, 0, 0], content=None)
    async with models.connect() as connection:
        with pytest.raises(DBAPIError, match="neither content_hash nor content is given"):
            await connection.execute(text(f"SELECT memstore.upsert_embedding('{ACME}', 'a', 'b', 'small', '[1,2,3]')"))


async def test_the_nearest_come_first_by_their_cosine(models: AsyncEngine) -> None:
    vectors = np.random.default_rng(3).normal(size=(50, 3)).round(3)
    for number, vector in enumerate(vectors):
        await put(models, f"{number:02}", vector.tolist(), source_type="page" if number % 2 else "mail")
    await put(models, "other model", [1, 2, 3, 0, 0], model="large")
    await put(models, "other tenant", [1, 2, 3], tenant=INITECH)
    query = np.array([1, 2, 3])
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    best = {f"{number:02}": cosines[number] for number in np.argsort(-cosines)}

    async with tenant_session(models, ACME) as session:
        hits = await similarity_search(session, "small", query, limit=100)
        assert {hit.source_id: hit.similarity for hit in hits} == pytest.approx(best, abs=1e-6)
        assert [hit.source_id for hit in hits] == list(best)
        assert [hit.source_id for hit in await similarity_search(session, "small", query)] == list(best)[:10]
        above = await similarity_search(session, "small", query, threshold=0.5, limit=100)
        assert [hit.source_id for hit in above] == [id_ for id_, cosine in best.items() if cosine >= 0.5]
        pages = await similarity_search(session, "small", query, source_type="page", limit=100)
        assert [hit.source_id for hit in pages] == [id_ for id_ in best if int(id_) % 2]
        (one,) = await similarity_search(session, "small", query, source_id="07")
        assert (one.source_type, one.chunk_index, one.content, one.metadata) == ("page", 0, "07", {})
        assert await similarity_search(session, "small", query, source_type="mail", source_id="07") == []
    async with tenant_session(models, INITECH) as session:
        assert [hit.source_id for hit in await similarity_search(session, "small", query)] == ["other tenant"]


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_limit_out_of_range_is_refused(models: AsyncEngine, limit: int) -> None:
    async with tenant_session(models, ACME) as session:
        with pytest.raises(SettingsError, match=f"the limit is {limit}. Needed: a whole number from 1 to 1000"):
            await similarity_search(session, "small", [1, 0, 0], limit=limit)


@pytest.mark.parametrize("threshold", [-1.01, 1.01, float("nan")])
async def test_a_threshold_out_of_range_is_refused(models: AsyncEngine, threshold: float) -> None:
    async with tenant_session(models, ACME) as session:
        with pytest.raises(SettingsError, match="the threshold is .* Needed: -1 to 1"):
            await similarity_search(session, "small", [1, 0, 0], threshold=threshold)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"content": "a\0b"}, "the content holds a NUL"),
        ({"content": "\ud800"}, "the content holds a NUL or half of a UTF-16 pair"),
        ({"source_type": ""}, "source_type is ''. Needed: 1 to 100"),
        ({"source_type": "x" * 101}, "source_type is .* Needed: 1 to 100"),
        ({"content_hash": b"x"}, "content_hash has 1 bytes. Needed: the 32 of a sha256"),
        ({"chunk_index": -1}, "chunk_index is -1. Needed: 0 to 2147483647"),
        ({"chunk_index": 2**31}, "chunk_index is 2147483648"),
    ],
)
async def test_a_value_that_cannot_be_stored_is_refused(
    models: AsyncEngine, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        await put(models, "one", [1, 0, 0], **given)
    with pytest.raises(SettingsError, match="source_id is .* Needed: 1 to 255"):
        await put(models, "x" * 256, [1, 0, 0])
    assert await rows(models) == []


async def test_only_a_tenants_session_will_do(models: AsyncEngine) -> None:
    async with AsyncSession(models) as session:
        with pytest.raises(TenantScopeError, match="Open one: memstore.tenant_session"):
            await upsert_embedding(session, "page", "one", "small", [1, 0, 0], content="x")
        with pytest.raises(TenantScopeError, match="Open one: memstore.tenant_session"):
            await similarity_search(session, "small", [1, 0, 0])
        with pytest.raises(TenantScopeError, match="Open one: memstore.tenant_session"):
            await delete_embeddings(session, "page", "one")


async def test_the_embeddings_of_a_source_are_deleted_from_a_chunk_on(models: AsyncEngine) -> None:
    for chunk in range(4):
        await put(models, "one", [1, 0, 0], chunk_index=chunk)
    await put(models, "one", [1, 0, 0, 0, 0], model="large")
    kept = [
        await put(models, "two", [1, 0, 0]),
        await put(models, "one", [1, 0, 0], source_type="mail"),
        await put(models, "one", [1, 0, 0], tenant=INITECH),
    ]
    async with tenant_session(models, ACME) as session:
        assert await delete_embeddings(session, "page", "one", from_chunk=2) == 2
        assert await delete_embeddings(session, "page", "one") == 3
        assert await delete_embeddings(session, "page", "one") == 0
    assert {row.id for row in await rows(models)} == {id_ for id_, _ in kept}


async def test_a_query_without_a_cosine_finds_nothing_in_sql(models: AsyncEngine) -> None:
    await put(models, "one", [1, 0, 0])
    async with models.connect() as connection:
        query = text(f"SELECT count(*) FROM memstore.similarity_search('{ACME}', 'small', '[0,0,0]')")
        assert await connection.scalar(query) == 0


async def test_a_model_is_registered_once(models: AsyncEngine) -> None:
    async with AsyncSession(models) as session:
        await register_embedding_model(session, "small", 3)
        with pytest.raises(EmbeddingModelError, match="'small' is registered with 3 dimensions and distance cosine"):
            await register_embedding_model(session, "small", 4)
        with pytest.raises(EmbeddingModelError, match="'large' is registered with 5 dimensions and distance l2"):
            await register_embedding_model(session, "large", 5)
        for name, width in (("", 3), ("x" * 101, 3), ("x\0", 3), ("x", 0), ("x", 16_001)):
            with pytest.raises(SettingsError, match=r"Needed: 1 to (100 characters|16,000)|holds a NUL"):
                await register_embedding_model(session, name, width)
        await session.commit()
        assert set(await session.scalars(select(EmbeddingModel.name))) == {"small", "large"}


async def test_the_functions_work_with_the_extension_off_the_search_path(models: AsyncEngine) -> None:
    async with models.begin() as connection:
        await connection.execute(text('CREATE SCHEMA "Their Extensions"'))
        await connection.execute(text('ALTER EXTENSION vector SET SCHEMA "Their Extensions"'))
        upsert = """SELECT changed FROM memstore.upsert_embedding(
            :tenant, 'page', 'one', 'small', CAST('[1,0,0]' AS "Their Extensions".vector), content => 'tea')"""
        assert await connection.scalar(text(upsert), {"tenant": ACME}) is True
        search = """SELECT similarity FROM memstore.similarity_search(
            :tenant, 'small', CAST('[1,0,0]' AS "Their Extensions".vector))"""
        assert await connection.scalar(text(search), {"tenant": ACME}) == 1.0
