from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import ForeignKeyConstraint, event, inspect, select
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty, selectinload

from memstore import models
from memstore.models import Agent, Base, EmbeddingModel, MemoryNode, Session, Tenant, User
from memstore.scope import tenant_session
from tests.support import run_python
from tests.tenants import ACME, INITECH, add_twins, contents, insert_row, insert_rows, rows_of

Relation = RelationshipProperty[Any]

TABLES = Base.metadata.tables
RELATIONS: list[Relation] = [relation for mapper in Base.registry.mappers for relation in mapper.relationships]
PARENTS = [relation for relation in RELATIONS if relation.direction is RelationshipDirection.MANYTOONE]
CHILDREN = [relation for relation in RELATIONS if relation.direction is RelationshipDirection.ONETOMANY]
PARENT_MODELS = sorted({relation.parent.class_ for relation in CHILDREN} - {EmbeddingModel}, key=str)


def written(key: ForeignKeyConstraint) -> frozenset[str]:
    """Name what a relationship over this key may write: not what the database generates, the tenant only by itself."""
    names = {column.name for column in key.columns if column.computed is None}
    return frozenset(names - {"tenant_id"} or names)


def column_of(parent: Relation) -> Any:
    ((_, column),) = parent.synchronize_pairs or []
    return column


def key_of(parent: Relation) -> list[tuple[str, str]]:
    """Pair the attributes of the two rows that the foreign key says are equal."""
    (key,) = (
        key
        for key in TABLES[str(parent.parent.local_table)].foreign_key_constraints
        if key.referred_table is parent.mapper.local_table and written(key) == {column_of(parent).name}
    )
    return [
        (parent.parent.get_property_by_column(each.parent).key, parent.mapper.get_property_by_column(each.column).key)
        for each in key.elements
    ]


def reverse_of(relation: Relation) -> Relation:
    back: Relation = relation.mapper.relationships[str(relation.back_populates)]
    return back


def linked(child: object, target: object, parent: Relation) -> bool:
    return all(getattr(child, mine) == getattr(target, theirs) for mine, theirs in key_of(parent))


def test_mappers_are_configured_without_a_warning() -> None:
    code = "import memstore.models; from sqlalchemy.orm import configure_mappers; configure_mappers()"
    done = run_python("-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_foreign_key_has_one_relationship() -> None:
    keys = [
        (str(table), str(key.referred_table), *written(key))
        for table in Base.metadata.sorted_tables
        for key in table.foreign_key_constraints
    ]
    found = [
        (str(parent.parent.local_table), str(parent.mapper.local_table), column_of(parent).name) for parent in PARENTS
    ]
    assert sorted(found) == sorted(keys)


def test_each_relationship_leads_back_and_loads_nothing_unasked() -> None:
    assert len(RELATIONS) == len(PARENTS) + len(CHILDREN) == 2 * len(PARENTS)
    for relation in RELATIONS:
        back = reverse_of(relation)
        assert (reverse_of(back), back.direction is relation.direction) == (relation, False), relation
        assert relation.lazy == "raise", relation
    assert {relation.passive_deletes for relation in CHILDREN} == {"all"}
    assert not [relation for relation in RELATIONS if relation.cascade.delete or relation.cascade.delete_orphan]


async def test_a_relationship_that_was_not_loaded_raises(seeded: AsyncEngine) -> None:
    async with AsyncSession(seeded) as session:
        for relation in RELATIONS:
            row = (await session.scalars(select(relation.parent).limit(1))).one()
            with pytest.raises(InvalidRequestError, match=f"'{relation}' is not available due to lazy='raise'"):
                getattr(row, relation.key)


async def test_both_ways_lead_to_the_rows_that_the_key_names(seeded: AsyncEngine) -> None:
    await add_twins(seeded)
    async with AsyncSession(seeded) as session:
        for parent in PARENTS:
            back = reverse_of(parent)
            below = select(parent.parent).options(selectinload(parent.class_attribute))
            above = select(parent.mapper).options(selectinload(back.class_attribute))
            children, targets = [(await session.scalars(query)).all() for query in (below, above)]
            expected = {(child, target) for child in children for target in targets if linked(child, target, parent)}
            up = {(child, getattr(child, parent.key)) for child in children if getattr(child, parent.key)}
            assert up == expected, parent
            assert {(child, target) for target in targets for child in getattr(target, back.key)} == expected, back
            assert {child for child, _ in up} == {child for child in children if getattr(child, key_of(parent)[-1][0])}
            session.expunge_all()


def family(**mine: Any) -> list[Any]:
    """A row of each tenant-owned model, linked by nothing but relationships."""
    user = User(**mine, auth_provider="test", external_id="ann")
    agent = Agent(**mine, name="Guide")
    session = Session(**mine, agent=agent, user=user, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
    memory = MemoryNode(**mine, id="new", content="x", user=user, agent=agent, session=session)
    former = MemoryNode(**mine, id="old", content="x", user=user, agent=agent, session=session)
    tool = models.Tool(**mine, name="search")
    episode = models.EpisodicMemory(**mine, id="moving", user=user)
    document = models.Document(**mine, title="x")
    model = EmbeddingModel(name="toy", dimensions=3)
    activity = models.Activity(**mine, agent=agent, session=session, action="x")
    return [
        user,
        agent,
        session,
        memory,
        former,
        tool,
        models.AgentTool(**mine, agent=agent, tool=tool),
        episode,
        models.EpisodeNode(**mine, episode=episode, node=memory, position=0),
        models.MemoryRelationship(**mine, source=memory, target=former, relationship_type="supersedes"),
        document,
        models.DocumentChunk(**mine, document=document, chunk_index=0, content="x"),
        model,
        models.Embedding(
            **mine,
            embedding_model=model,
            source_type="x",
            source_id="x",
            embedding=[1, 2, 3],
            content_hash=bytes(32),
        ),
        activity,
        models.Metric(**mine, agent=agent, metric_name="x", metric_type="gauge", value=1),
        models.Evaluation(**mine, agent=agent, evaluator_type="x"),
        models.Feedback(**mine, agent=agent, session=session, activity=activity, feedback_type="x"),
        models.MemoryAccess(**mine, user=user, access_type="read"),
        models.SearchMetric(**mine, search_type="text", result_count=1, execution_time_ms=1),
        models.SearchStatistics(**mine, memories=2, embedded=0),
        models.WordStatistics(**mine, lexeme="x", documents=1),
        models.MirrorRejection(**mine, node_id="new", reason="x"),
    ]


def assert_linked(rows: list[Any], tenant: Any) -> None:
    for row in rows:
        for parent in inspect(row).mapper.relationships:
            if parent in PARENTS and parent.mapper.class_ is not Tenant:
                assert linked(row, getattr(row, parent.key), parent), parent
        assert getattr(row, "tenant_id", tenant) == tenant, row


ORDERS = {"as written": lambda rows: rows, "backwards": lambda rows: rows[::-1]} | {
    f"shuffled {seed}": lambda rows, seed=seed: Random(seed).sample(rows, len(rows)) for seed in range(4)
}


@pytest.mark.parametrize("order", ORDERS)
async def test_new_rows_that_only_relationships_link_are_one_flush(engine: AsyncEngine, order: str) -> None:
    tenant = Tenant(name="Acme")
    rows = family(tenant=tenant)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add_all(ORDERS[order]([tenant, *rows]))
        await session.flush()
        assert_linked(rows, tenant.id)
        await session.commit()
    stored = {table: len(found) for table, found in (await contents(engine, tenant.id)).items()}
    assert stored == {table: len(found) for table, found in rows_of(ACME).items()}


@pytest.mark.parametrize("order", ORDERS)
async def test_in_a_scope_the_tenant_comes_by_itself(engine: AsyncEngine, order: str) -> None:
    tenant, rows = uuid4(), family()
    async with tenant_session(engine, tenant) as session:
        session.add(Tenant(id=tenant, name="Acme"))
        await session.flush()
        session.add_all(ORDERS[order](rows))
        await session.flush()
        assert_linked(rows, tenant)
    stored = {table: len(found) for table, found in (await contents(engine, tenant)).items()}
    assert stored == {table: len(found) for table, found in rows_of(ACME).items()}


@contextmanager
def statements_of(engine: AsyncEngine) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement.partition(" SET ")[0].partition(" WHERE ")[0])

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine.sync_engine, "before_cursor_execute", note)


async def test_a_loaded_row_is_given_another_parent_without_loading_the_old_one(seeded: AsyncEngine) -> None:
    async with seeded.begin() as connection:
        await insert_rows(connection, rows_of(ACME, number=1) | {"tenants": []})
        await insert_row(connection, "embedding_models", {"name": "other", "dimensions": 3})
    changed = [parent for parent in PARENTS if not column_of(parent).primary_key and parent.mapper.class_ is not Tenant]
    async with tenant_session(seeded, ACME) as session:
        for parent in changed:
            ((remote, column),) = parent.synchronize_pairs or []
            mine, theirs = str(column.key), str(remote.key)
            child = (await session.scalars(select(parent.parent).limit(1))).one()
            others = select(parent.mapper).where(remote != getattr(child, mine)).limit(1)
            other = (await session.scalars(others)).one()
            for target in [other, None] if column.nullable else [other]:
                setattr(child, parent.key, target)
                with statements_of(seeded) as statements:
                    await session.flush()
                assert statements == [f"UPDATE {parent.parent.local_table}"], parent
                await session.refresh(child)
                now = (child.tenant_id, getattr(child, mine))
                assert now == (ACME, target and getattr(target, theirs)), parent
            session.expunge_all()


async def load_with_children(session: AsyncSession, model: type[Base], key: Any) -> Any:
    loads = [selectinload(relation.class_attribute) for relation in CHILDREN if relation.parent.class_ is model]
    return await session.get_one(model, key, options=loads)


@pytest.mark.parametrize("model", PARENT_MODELS)
async def test_deleting_leaves_loaded_children_to_the_database(seeded: AsyncEngine, model: type[Base]) -> None:
    table, before = model.__tablename__, await contents(seeded, INITECH)
    row = rows_of(ACME)[table][0]
    async with AsyncSession(seeded) as session:
        loaded = await load_with_children(session, model, [row[column.name] for column in inspect(model).primary_key])
        await session.delete(loaded)
        with statements_of(seeded) as statements:
            await session.flush()
        assert statements == [f"DELETE FROM memstore.{table}"]
        await session.commit()
    assert await contents(seeded, INITECH) == before


async def test_what_outlives_a_deleted_agent_stays_in_its_tenant(seeded: AsyncEngine) -> None:
    async with AsyncSession(seeded) as session:
        agent = await load_with_children(session, Agent, (ACME, rows_of(ACME)["agents"][0]["id"]))
        outlive = [*agent.memories, *agent.activities, *agent.metrics, *agent.evaluations, *agent.feedback]
        assert len(outlive) == 6
        await session.delete(agent)
        await session.flush()
        for row in outlive:
            await session.refresh(row)
            assert (row.tenant_id, row.agent_id) == (ACME, None), row


async def test_a_model_that_embeddings_need_cannot_be_deleted(seeded: AsyncEngine) -> None:
    before = await contents(seeded, ACME)
    async with AsyncSession(seeded) as session:
        await session.delete(await load_with_children(session, EmbeddingModel, "toy"))
        with pytest.raises(IntegrityError, match="fk_embeddings_model_dimensions_embedding_models"):
            await session.flush()
    assert await contents(seeded, ACME) == before
