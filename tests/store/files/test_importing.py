from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import CorpusError, MemoryExistsError
from memstore.models import (
    Complexity,
    ConversationMode,
    DecayTier,
    EmotionalValence,
    IntentType,
    MemoryType,
    NeuroType,
    Urgency,
)
from memstore.store import Memory, MemoryChange, NewMemory, PostgresStore
from memstore.store.files import FileStore
from memstore.transfer import import_corpus
from memstore.transfer.corpus import check_corpus, open_corpus
from tests.store.conformance.worlds import Owner, Place
from tests.store.files.corpora import TENANT, memory, nodes_of
from tests.transfer.corpora import NODES, write_corpus

SAID = datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=UTC)

# What is put into a node of a store, and the field that is named.
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no text": ({"content": None}, "content"),
    "version of no memory": ({"version": 0}, "version"),
    "user no UUID": ({"user_id": "ann"}, "user_id"),
    "importance too high": ({"importance": 11}, "importance"),
    "memory_type": ({"memory_type": "thought"}, "memory_type"),
    "decay_tier": ({"decay_tier": "forever"}, "decay_tier"),
    "decay_lambda too high": ({"decay_lambda": 101}, "decay_lambda"),
    "deleted_at garbage": ({"deleted_at": "yesterday"}, "deleted_at"),
    "expires_at without end": ({"expires_at": "9999-12-31T23:59:59.999999Z"}, "expires_at"),
    "metadata a list": ({"metadata": []}, "metadata"),
    "NUL in metadata": ({"metadata": {"a": "b\0"}}, "metadata"),
    "key too long": ({"key": "x" * 256}, "key"),
    "zeros said to be an embedding": ({"has_embedding": True}, "vector"),
    "has_embedding a text": ({"has_embedding": "true"}, "has_embedding"),
}


@pytest_asyncio.fixture
async def owner(engine: AsyncEngine) -> Owner:
    owner = Owner()
    await owner.settle(Place("owner", engine.url))
    return owner


@pytest_asyncio.fixture
async def files(tmp_path: Path) -> AsyncIterator[FileStore]:
    async with FileStore(tmp_path) as store:
        yield store


async def all_of(store: FileStore | PostgresStore, tenant: UUID, *ids: str) -> dict[str, dict[str, Any]]:
    """Return every field of these memories but the tenant, embeddings as lists."""
    found = await store.scope(tenant).get_many(ids, with_embedding=True, include_deleted=True, include_expired=True)
    return {id_: values_of(each) for id_, each in found.items()}


def values_of(memory: Memory) -> dict[str, Any]:
    values = {each.name: getattr(memory, each.name) for each in fields(memory) if each.name != "tenant_id"}
    return values | {"embedding": None if memory.embedding is None else memory.embedding.tolist()}


async def test_a_store_in_files_becomes_one_in_the_database_with_all_that_it_has(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    folder = tmp_path / str(owner.tenant)
    scope = files.scope(owner.tenant)
    await scope.add_many(
        [
            NewMemory(
                id="full",
                user_id=owner.ann,
                agent_id=owner.agent,
                session_id=owner.session,
                conversation_id="talk",
                sequence_index=7,
                key="colour",
                human_content="What colour?",
                assistant_content="Blue.",
                content="a fact \N{GRINNING FACE}",
                source="chat",
                intent_type=IntentType.QUESTION,
                complexity=Complexity.SIMPLE,
                technical_depth=3,
                emotional_valence=EmotionalValence.POSITIVE,
                urgency=Urgency.LOW,
                conversation_mode=ConversationMode.CHAT,
                action_required=True,
                has_code=True,
                has_error=True,
                tags={"topics": ["colour"], "other": {"deep": [1, 2.5, None]}},
                cluster_id=-1,
                cluster_label="noise",
                cluster_confidence=0.1,
                memory_type=MemoryType.FACT,
                neuro_type=NeuroType.SEMANTIC,
                importance=9,
                decay_tier=DecayTier.LONG,
                decay_lambda=0.3,
                importance_decay=0.7,
                ui_source="cli",
                ai_generated=True,
                user_confirmed=True,
                expires_at=SAID + timedelta(days=9_000),
                metadata={"a": {"b": [True, 10**20, 1.0]}, "has_embedding": False},
                embedding=[0.1, -2.5, 1e-20, 3e8],
                embedding_model="model",
                created_at=SAID,
            ),
            memory(1, embedding=None),
            memory(2, user_id=owner.bob, key="colour"),
            memory(3, expires_at=SAID),
            memory(4, key="colour"),
        ]
    )
    await scope.update("full", MemoryChange(importance=10), version=1)
    await scope.record_access(["full", "m2", "m2"])
    await scope.delete("m4")
    ids = ("full", "m1", "m2", "m3", "m4")
    for inserted in (5, 0):
        result = await import_corpus(engine, folder, tenant_id=owner.tenant)
        assert (result.read, result.inserted, result.renamed) == (5, inserted, 0)
    async with PostgresStore(engine.url, pool_size=1) as database:
        kept = await all_of(files, owner.tenant, *ids)
        assert await all_of(database, owner.tenant, *ids) == kept
        assert (kept["full"]["version"], kept["full"]["access_count"], kept["m1"]["embedding"]) == (2, 1, None)
        assert kept["m4"]["deleted_at"] is not None
        for user, count in ((None, 3), (owner.ann, 1), (owner.bob, 1)):
            assert await database.scope(owner.tenant, user).count() == count


async def test_memories_of_users_that_the_tenant_does_not_have_become_nobody_elses(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    stranger = uuid4()
    await files.scope(owner.tenant).add_many([memory(1), memory(2, user_id=stranger), memory(3, user_id=owner.ann)])
    with pytest.raises(CorpusError, match="1 memories are of users that this tenant does not have") as caught:
        await import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant)
    assert caught.value.problems == (f"node 1 (id m2): user_id: found {stranger}, who is no user of this tenant",)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM memstore.memory_nodes")) == 0


async def test_what_is_imported_as_one_users_is_theirs_and_names_whose_it_was(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    stranger = uuid4()
    await files.scope(owner.tenant).add_many(
        [memory(1, key="k"), memory(2, key="k", user_id=stranger), memory(3, user_id=owner.ann)]
    )
    await import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant, user_id=owner.ann)
    async with PostgresStore(engine.url, pool_size=1) as database:
        found = await database.scope(owner.tenant, owner.ann).get_many(["m1", "m2", "m3"])
    assert {id_: (each.key, each.metadata) for id_, each in found.items()} == {
        "m1": ("k", {}),
        "m2": (None, {"user_id": str(stranger), "released_key": "k"}),
        "m3": (None, {}),
    }


async def test_agents_and_sessions_that_the_tenant_does_not_have_are_kept_in_metadata(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    agents, session = [uuid4(), uuid4()], uuid4()
    await files.scope(owner.tenant).add_many(
        [
            *(memory(n, agent_id=agents[n], key="k", metadata={"mine": n}) for n in range(2)),
            memory(2, agent_id=owner.agent, key="k", session_id=session),
        ]
    )
    await import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant)
    async with PostgresStore(engine.url, pool_size=1) as database:
        found = await database.scope(owner.tenant).get_many(["m0", "m1", "m2"])
    assert [(each.agent_id, each.session_id, each.key, each.metadata) for each in found.values()] == [
        (None, None, None, {"mine": 0, "agent_id": str(agents[0]), "released_key": "k"}),
        (None, None, None, {"mine": 1, "agent_id": str(agents[1]), "released_key": "k"}),
        (owner.agent, None, "k", {"session_id": str(session)}),
    ]


async def test_a_natural_key_that_another_memory_has_is_told(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    await files.scope(owner.tenant).add(memory(1, key="colour"))
    async with PostgresStore(engine.url, pool_size=1) as database:
        await database.scope(owner.tenant).add(memory(2, key="colour"))
        with pytest.raises(MemoryExistsError, match="the natural key of one in the corpus: .*colour"):
            await import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant)
        assert await database.scope(owner.tenant).count() == 1


async def test_memories_without_any_embedding_are_imported(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    await files.scope(owner.tenant).add_many(memory(n, embedding=None) for n in range(3))
    assert (await import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant)).inserted == 3
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(embedding) FROM memstore.memory_nodes")) == 0


async def test_ids_that_somebody_else_has_are_renamed_for_each_owner(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    await files.scope(owner.tenant).add_many([memory(1, user_id=owner.ann), memory(2, user_id=owner.bob), memory(3)])
    async with PostgresStore(engine.url, pool_size=1) as database:
        await database.scope(owner.tenant).add_many(memory(n, user_id=owner.bob, content="mine") for n in (1, 2, 3))
        for inserted in (2, 0):
            result = await import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant)
            assert (result.inserted, result.already_there, result.renamed) == (inserted, 3 - inserted, inserted)
        (of_ann,) = await database.scope(owner.tenant, owner.ann).list()
        assert (of_ann.content, of_ann.metadata) == ("memory 1", {"memstore_source_id": "m1"})
        assert await database.scope(owner.tenant).count() == 5


@pytest.mark.parametrize(("changes", "field"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_node_of_a_store_is_named(
    files: FileStore, tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    await files.scope(TENANT).add_many([memory(0), memory(1, embedding=None)])
    folder = tmp_path / str(TENANT)
    await check_corpus(open_corpus(folder), 4, lambda _: None)
    nodes = nodes_of(tmp_path)
    nodes[1] |= changes
    (folder / NODES).write_text(json.dumps(nodes))
    with pytest.raises(CorpusError) as caught:
        await check_corpus(open_corpus(folder), 4, lambda _: None)
    (problem,) = caught.value.problems
    assert re.match(rf"node 1 \(id m1\): {field}: ", problem)


async def test_a_store_that_is_written_to_meanwhile_is_imported_as_it_was_at_one_moment(
    engine: AsyncEngine, owner: Owner, files: FileStore, tmp_path: Path
) -> None:
    scope = files.scope(owner.tenant)
    await scope.add_many(memory(n) for n in range(5))

    async def work() -> None:
        for n in range(5, 30):
            await scope.add(memory(n))
            await scope.delete(f"m{n - 5}", hard=True)

    async with PostgresStore(engine.url, pool_size=1) as database:
        await asyncio.gather(work(), import_corpus(engine, tmp_path / str(owner.tenant), tenant_id=owner.tenant))
        page = await database.scope(owner.tenant).list(with_embedding=True)
    assert 5 <= len(page) <= 6
    for each in page:
        n = int(each.id[1:])
        assert each.content == f"memory {n}"
        assert each.embedding is not None
        assert each.embedding.tolist() == [1.0, n, 0.0, -n]


async def test_embeddings_without_dimensions_are_refused(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, vectors=np.empty((5, 0), np.float32))
    with pytest.raises(CorpusError) as caught:
        await check_corpus(open_corpus(folder), 4, lambda _: None)
    assert caught.value.total == 5
    assert caught.value.problems[0].endswith("vector: found 0 dimensions, needed: an embedding")
