from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import ColumnProperty, undefer

from memstore.models import (
    Base,
    DecayTier,
    DocumentChunk,
    Embedding,
    EmbeddingModel,
    MemoryNode,
    MemoryRelationship,
    SearchStatistics,
    Session,
    Tenant,
)
from tests.models.values import CREATED, LATER, OTHER_MEMORY, OTHER_TENANT, REQUIRED, SESSION, TENANT, VALUES, Values


def attributes(model: type[Base], *, written: bool) -> set[str]:
    """Name the attributes that an application writes, or those that only the database does."""

    def by_database(attribute: ColumnProperty[Any]) -> bool:
        column = attribute.columns[0]
        return column.computed is not None or (column.identity is not None and column.identity.always)

    return {each.key for each in inspect(model).column_attrs if by_database(each) is not written}


def plain(row: Base, names: set[str]) -> dict[str, Any]:
    """Read attributes of a row; a vector is a list or an array, as pgvector sees fit."""
    found = {name: getattr(row, name) for name in names}
    return found | ({"embedding": [float(x) for x in found["embedding"]]} if found.get("embedding") is not None else {})


async def add_all(session: AsyncSession, values: Values) -> list[Base]:
    rows: list[Base] = []
    for model, columns in values.items():
        if columns is VALUES[MemoryRelationship]:
            session.add(MemoryNode(**OTHER_MEMORY))
        if columns is REQUIRED[SearchStatistics]:
            session.add(Tenant(**OTHER_TENANT))
        rows.append(model(**columns))
        session.add(rows[-1])
        await session.flush()
    return rows


async def add_memory(session: AsyncSession, **columns: Any) -> MemoryNode:
    await add_all(session, {Tenant: {"id": TENANT, "name": "Acme"}})
    memory = MemoryNode(**{"tenant_id": TENANT, "id": "one", "content": "x", "created_at": CREATED} | columns)
    session.add(memory)
    await session.flush()
    return memory


def test_each_column_of_each_model_has_a_value() -> None:
    assert set(VALUES) == set(REQUIRED) == {mapper.class_ for mapper in Base.registry.mappers}
    for model, columns in VALUES.items():
        assert set(columns) == attributes(model, written=True), model.__name__


async def test_each_value_comes_back_as_it_was_written(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        keys = [(type(row), inspect(row).identity) for row in await add_all(session, VALUES)]
        await session.commit()
    async with AsyncSession(engine) as session:
        for model, key in keys:
            row = await session.get_one(model, key)
            assert plain(row, set(VALUES[model])) == VALUES[model]
            for name, value in VALUES[model].items():
                if isinstance(value, StrEnum):
                    assert isinstance(getattr(row, name), type(value)), name


async def test_what_the_database_fills_in_is_there_after_the_flush(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await add_all(session, VALUES)
        rows = await add_all(session, REQUIRED)
        written = {type(row): plain(row, attributes(type(row), written=True)) for row in rows}
        await session.commit()
    for model, columns in written.items():
        optional = columns.keys() - REQUIRED[model].keys()
        assert not [name for name in optional if columns[name] == VALUES[model][name]], "a default is no test value"
    async with AsyncSession(engine) as session:
        for row in rows:
            stored = await session.get_one(type(row), inspect(row).identity)
            assert plain(stored, set(written[type(row)])) == written[type(row)]


async def test_expiry_follows_each_flush(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        memory = await add_memory(session, decay_tier=DecayTier.SHORT)
        assert memory.expiry == CREATED + timedelta(days=7)
        for tier, asked, expected in (
            (DecayTier.MEDIUM, None, CREATED + timedelta(days=30)),
            (DecayTier.LONG, None, CREATED + timedelta(days=180)),
            (DecayTier.PINNED, None, None),
            (DecayTier.SHORT, None, CREATED + timedelta(days=7)),
            (DecayTier.SHORT, LATER, LATER),
            (DecayTier.PINNED, LATER, None),
            (DecayTier.LONG, LATER, LATER),
            (None, LATER, LATER),
            (None, None, None),
        ):
            memory.decay_tier, memory.expires_at = tier, asked
            await session.flush()
            assert (memory.decay_tier, memory.expires_at, memory.expiry) == (tier, asked, expected)


async def test_a_day_of_expiry_has_24_hours_in_every_time_zone(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SET LOCAL timezone = 'America/New_York'"))
        eve_of_summer_time = datetime(2024, 3, 9, 12, tzinfo=UTC)
        memory = await add_memory(session, created_at=eve_of_summer_time, decay_tier=DecayTier.SHORT)
        assert memory.expiry == eve_of_summer_time + timedelta(days=7)


async def test_words_and_bits_follow_each_flush(engine: AsyncEngine) -> None:
    async def words_and_bits() -> tuple[str | None, str | None]:
        query = select(MemoryNode).options(undefer(MemoryNode.search_vector), undefer(MemoryNode.embedding_bits))
        found = (await session.scalars(query, execution_options={"populate_existing": True})).one()
        return found.search_vector, found.embedding_bits

    async with AsyncSession(engine) as session:
        texts = {"human_content": "rivers", "assistant_content": "Lakes", "content": "and seas"}
        memory = await add_memory(session, **texts, embedding=[0.5, -1, 0, 2])
        assert await words_and_bits() == ("'lake':2 'river':1 'sea':4", "1001")
        memory.content, memory.assistant_content, memory.embedding = None, None, [-1, 1, 1, 1]
        await session.flush()
        assert (memory.version, memory.embedding) == (2, [-1, 1, 1, 1])
        assert await words_and_bits() == ("'river':1", "0111")
        memory.embedding = None
        await session.flush()
        assert await words_and_bits() == ("'river':1", None)


async def test_words_and_bits_are_never_loaded_unasked(engine: AsyncEngine) -> None:
    raised: dict[type[Base], set[str]] = {}
    async with AsyncSession(engine) as session:
        keys = [(type(row), inspect(row).identity) for row in await add_all(session, VALUES)]
        session.expunge_all()
        for model, key in keys:
            row = await session.get_one(model, key)
            for name in attributes(model, written=False) & inspect(row).unloaded:
                with pytest.raises(InvalidRequestError, match="raiseload"):
                    getattr(row, name)
                raised.setdefault(model, set()).add(name)
    words, bits = "search_vector", "embedding_bits"
    assert raised == {MemoryNode: {words, bits}, DocumentChunk: {words}, Embedding: {words}}


async def test_words_follow_the_text_of_chunks_and_embeddings(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        rows = [row for row in await add_all(session, VALUES) if isinstance(row, DocumentChunk | Embedding)]
        for text_of_it, words in (("Lakes and rivers", "'lake':1 'river':3"), ("a café", "'café':2"), ("", "")):
            for row in rows:
                row.content = text_of_it
                await session.flush()
                await session.refresh(row, ["search_vector"])
                assert row.search_vector == words, row


@pytest.mark.parametrize("width", [1, 3, 2_000, 16_000])
async def test_an_embedding_is_as_wide_as_its_model(engine: AsyncEngine, width: int) -> None:
    vector = [1.0] + [0.5] * (width - 1)
    async with AsyncSession(engine) as session:
        session.add_all([Tenant(id=TENANT, name="Acme"), EmbeddingModel(name="new", dimensions=width)])
        await session.flush()
        row = Embedding(**REQUIRED[Embedding] | {"model": "new", "embedding": vector})
        session.add(row)
        await session.flush()
        assert row.dimensions == width
        await session.refresh(row)
        assert plain(row, {"embedding", "dimensions"}) == {"embedding": vector, "dimensions": width}


async def test_json_changed_in_place_is_saved(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await add_all(session, VALUES)
        await session.commit()
        changed = await session.get_one(Session, (TENANT, SESSION))
        changed.history.append({"role": "assistant", "content": "hello"})
        changed.workspace["x"] = 1
        del changed.metadata_["channel"]
        await session.commit()
    async with AsyncSession(engine) as session:
        stored = await session.get_one(Session, (TENANT, SESSION))
        assert [message["content"] for message in stored.history] == ["hi", "hello"]
        assert (stored.workspace, stored.metadata_, stored.version) == ({"step": 2, "x": 1}, {}, 8)


# A compound word is indexed whole and in parts, and a letter takes up to four bytes.
@pytest.mark.parametrize(
    ("alphabet", "separator"),
    [("0123456789abcdef", " "), ("一二三四五六七八九十百千万丈丁丂", "-")],
    ids=["latin", "han"],
)
async def test_a_text_longer_than_a_tsvector_is_stored(engine: AsyncEngine, alphabet: str, separator: str) -> None:
    names = str.maketrans("0123456789abcdef", alphabet)
    distinct = (f"{number:x}".translate(names) for number in range(0x10000, 0x10000 + 500_000))
    long = " ".join(separator.join(pair) for pair in zip(distinct, distinct, strict=True))
    async with AsyncSession(engine) as session:
        memory = await add_memory(session, content=long)
        await session.commit()
        await session.refresh(memory)
        assert memory.content == long
        first = func.to_tsquery("english", long[:5])
        assert await session.scalar(select(MemoryNode.id).where(MemoryNode.search_vector.bool_op("@@")(first))) == "one"
