from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore.models import Base, EmbeddingModel, Tenant
from tests.tenants import ACME, INITECH, Row, contents, insert_row

MODELS: dict[str, Any] = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
LATER = "2100-01-01T00:00:00Z"
WAYS = pytest.mark.parametrize("way", ["SQL", "ORM"])


def key(name: str) -> str:
    """Return a UUID that `name_of` reads the name from again."""
    return str(UUID(bytes=name.encode().ljust(16)))


def name_of(value: object) -> str:
    text = str(value)
    return UUID(text).bytes.decode().strip() if len(text) == 36 else text


def home(tenant: UUID, ann: str, bob: str) -> list[tuple[str, Row]]:
    """A tenant with rows in every table. But for the users, who are unique, another tenant's have the same keys."""
    ann, bob, guide, critic = key(ann), key(bob), key("guide"), key("critic")
    monday, tuesday, team, search, mail = key("monday"), key("tuesday"), key("team"), key("search"), key("mail")
    asked, answered, handbook, leaflet = key("asked"), key("answered"), key("handbook"), key("leaflet")
    on_monday = {"agent_id": guide, "session_id": monday}
    on_tuesday = {"agent_id": critic, "session_id": tuesday}
    embedding = {"model": "toy", "embedding": "[1, 2, 3]", "content_hash": rf"\x{'ab' * 32}"}
    rows: list[tuple[str, Row]] = [
        ("users", {"id": ann, "auth_provider": "test", "external_id": ann}),
        ("users", {"id": bob, "auth_provider": "test", "external_id": bob}),
        ("agents", {"id": guide, "name": "guide"}),
        ("agents", {"id": critic, "name": "critic"}),
        ("sessions", {"id": monday, "agent_id": guide, "user_id": ann, "expires_at": LATER}),
        ("sessions", {"id": tuesday, "agent_id": critic, "user_id": bob, "expires_at": LATER}),
        ("sessions", {"id": team, "agent_id": guide, "expires_at": LATER}),
        ("tools", {"id": search, "name": "search"}),
        ("tools", {"id": mail, "name": "mail"}),
        ("agent_tools", {"agent_id": guide, "tool_id": search}),
        ("agent_tools", {"agent_id": guide, "tool_id": mail}),
        ("agent_tools", {"agent_id": critic, "tool_id": search}),
        ("memory_nodes", {"id": "anns", "user_id": ann, "content": "x", "key": "city"} | on_monday),
        ("memory_nodes", {"id": "bobs", "user_id": bob, "content": "x", "key": "city"} | on_tuesday),
        ("memory_nodes", {"id": "shared", "content": "x"} | on_monday),
        ("memory_nodes", {"id": "common", "content": "x"}),
        ("episodic_memories", {"id": "ann_week", "user_id": ann}),
        ("episodic_memories", {"id": "team_week"}),
        ("episode_nodes", {"episode_id": "ann_week", "node_id": "anns", "position": 0}),
        ("episode_nodes", {"episode_id": "ann_week", "node_id": "shared", "position": 1}),
        ("episode_nodes", {"episode_id": "team_week", "node_id": "anns", "position": 0}),
        ("episode_nodes", {"episode_id": "team_week", "node_id": "bobs", "position": 1}),
        ("memory_relationships", {"source_id": "anns", "target_id": "shared", "relationship_type": "pattern"}),
        ("memory_relationships", {"source_id": "bobs", "target_id": "anns", "relationship_type": "pattern"}),
        ("memory_relationships", {"source_id": "bobs", "target_id": "shared", "relationship_type": "pattern"}),
        ("documents", {"id": handbook, "title": "Handbook"}),
        ("documents", {"id": leaflet, "title": "Leaflet"}),
        ("document_chunks", {"document_id": handbook, "chunk_index": 0, "content": "x"}),
        ("document_chunks", {"document_id": handbook, "chunk_index": 1, "content": "x"}),
        ("document_chunks", {"document_id": leaflet, "chunk_index": 0, "content": "x"}),
        ("embeddings", {"id": key("vector"), "source_type": "document", "source_id": handbook} | embedding),
        ("activities", {"id": asked, "action": "ask"} | on_monday),
        ("activities", {"id": answered, "action": "answer"} | on_tuesday),
        ("metrics", {"id": key("speed"), "agent_id": guide, "metric_name": "x", "metric_type": "gauge", "value": 1}),
        ("metrics", {"id": key("load"), "agent_id": critic, "metric_name": "x", "metric_type": "gauge", "value": 1}),
        ("evaluations", {"id": key("exam"), "agent_id": guide, "evaluator_type": "rule"}),
        ("evaluations", {"id": key("test"), "agent_id": critic, "evaluator_type": "rule"}),
        ("feedback", {"id": key("praise"), "activity_id": asked, "feedback_type": "x"} | on_monday),
        ("feedback", {"id": key("blame"), "activity_id": answered, "feedback_type": "x"} | on_tuesday),
        ("memory_access_log", {"id": key("read"), "user_id": ann, "memory_id": "anns", "access_type": "read"}),
        ("memory_access_log", {"id": key("written"), "user_id": bob, "memory_id": "anns", "access_type": "write"}),
        ("search_metrics", {"id": key("found"), "search_type": "text", "result_count": 1, "execution_time_ms": 1}),
        ("search_statistics", {"memories": 3, "embedded": 0, "users": {}, "sample": []}),
        ("word_statistics", {"lexeme": "x", "documents": 3}),
        ("mirror_rejections", {"node_id": "anns", "reason": "x"}),
    ]
    return [
        ("tenants", {"id": str(tenant), "name": "x"}),
        *((table, {"tenant_id": str(tenant)} | row) for table, row in rows),
    ]


@dataclass(frozen=True)
class Expected:
    """What goes along with a row, and what other rows say afterwards."""

    gone: set[str] = field(default_factory=set)
    changed: dict[str, Row] = field(default_factory=dict)


NO_AGENT, NO_SESSION, NO_ACTIVITY, NO_USER = ({f"{name}_id": None} for name in ("agent", "session", "activity", "user"))
OF_ANNS_MEMORY = {
    "episode_nodes ann_week anns",
    "episode_nodes team_week anns",
    "memory_relationships anns shared pattern",
    "memory_relationships bobs anns pattern",
}
NO_MONDAY = {
    "memory_nodes shared": NO_SESSION,
    "activities asked": NO_SESSION,
    "feedback praise": NO_SESSION,
}
DELETIONS = {
    "users ann": Expected(
        gone=OF_ANNS_MEMORY
        | {"sessions monday", "memory_nodes anns", "episodic_memories ann_week", "episode_nodes ann_week shared"},
        changed=NO_MONDAY | {"memory_access_log read": NO_USER},
    ),
    "agents guide": Expected(
        gone={"sessions monday", "sessions team", "agent_tools guide search", "agent_tools guide mail"},
        changed={
            "memory_nodes anns": NO_AGENT | NO_SESSION | {"key": None, "metadata": {"released_key": "city"}},
            "memory_nodes shared": NO_AGENT | NO_SESSION,
            "activities asked": NO_AGENT | NO_SESSION,
            "metrics speed": NO_AGENT,
            "evaluations exam": NO_AGENT,
            "feedback praise": NO_AGENT | NO_SESSION,
        },
    ),
    "sessions monday": Expected(changed=NO_MONDAY | {"memory_nodes anns": NO_SESSION}),
    "activities asked": Expected(changed={"feedback praise": NO_ACTIVITY}),
    "tools search": Expected(gone={"agent_tools guide search", "agent_tools critic search"}),
    "episodic_memories team_week": Expected(gone={"episode_nodes team_week anns", "episode_nodes team_week bobs"}),
    "documents handbook": Expected(gone={"document_chunks handbook 0", "document_chunks handbook 1"}),
    "memory_nodes anns": Expected(gone=OF_ANNS_MEMORY),
}


@pytest_asyncio.fixture
async def homes(engine: AsyncEngine) -> AsyncEngine:
    """The owner's engine, with Acme and Initech in the database."""
    async with engine.begin() as connection:
        await insert_row(connection, "embedding_models", {"name": "toy", "dimensions": 3})
        for table, row in [*home(ACME, "ann", "bob"), *home(INITECH, "cyd", "dan")]:
            await insert_row(connection, table, row)
    return engine


async def state(engine: AsyncEngine) -> dict[str, Row]:
    """All rows of Acme by table and key, but for what says how often and when they changed."""
    found = {}
    for table, rows in (await contents(engine, ACME)).items():
        keys = [column.name for column in MODELS[table].__table__.primary_key if column.name != "tenant_id"]
        for row in rows:
            name = " ".join([table, *(name_of(row[column]) for column in keys)])
            found[name] = {column: row[column] for column in row.keys() - {"updated_at", "version"}}
    return found


async def remove(engine: AsyncEngine, way: str, model: Any, **columns: object) -> None:
    async with AsyncSession(engine) as session:
        if way == "SQL":
            await session.execute(delete(model.__table__).filter_by(**columns))
        else:
            await session.delete((await session.scalars(select(model).filter_by(**columns))).one())
        await session.commit()


@WAYS
@pytest.mark.parametrize("name", DELETIONS)
async def test_a_deleted_row_takes_along_what_is_its_own(homes: AsyncEngine, name: str, way: str) -> None:
    before, others, expected = await state(homes), await contents(homes, INITECH), DELETIONS[name]
    gone = {name} | expected.gone
    assert gone | expected.changed.keys() <= before.keys()
    table, named = name.split()
    id_ = named if table in ("memory_nodes", "episodic_memories") else UUID(key(named))
    await remove(homes, way, MODELS[table], tenant_id=ACME, id=id_)
    assert await state(homes) == {
        each: row | expected.changed.get(each, {}) for each, row in before.items() if each not in gone
    }
    assert await contents(homes, INITECH) == others


@WAYS
async def test_a_deleted_tenant_leaves_nothing_of_its_own_and_all_of_another(homes: AsyncEngine, way: str) -> None:
    before, others = await contents(homes, ACME), await contents(homes, INITECH)
    assert all(before.values())
    await remove(homes, way, Tenant, id=ACME)
    assert await contents(homes, ACME) == {table: [] for table in before}
    assert await contents(homes, INITECH) == others


@WAYS
async def test_an_embedding_model_goes_when_nothing_is_embedded_by_it(homes: AsyncEngine, way: str) -> None:
    async with homes.begin() as connection:
        await insert_row(connection, "embedding_models", {"name": "unused", "dimensions": 3})
    before = await contents(homes, ACME), await contents(homes, INITECH)
    await remove(homes, way, EmbeddingModel, name="unused")
    with pytest.raises(IntegrityError, match="fk_embeddings_model_dimensions_embedding_models"):
        await remove(homes, way, EmbeddingModel, name="toy")
    async with AsyncSession(homes) as session:
        assert list(await session.scalars(select(EmbeddingModel.name))) == ["toy"]
    assert (await contents(homes, ACME), await contents(homes, INITECH)) == before
