"""A search for one tenant, among many: Milvus 2.3 looks in the partition of the tenant, where it has put another's."""

from __future__ import annotations

from uuid import UUID

from memstore.milvus import Milvus, entity_store
from memstore.milvus import collections as ours
from memstore.milvus.expressions import Conditions
from tests.milvus.rows import entities, spec
from tests.milvus.worlds import vectors

NAME = "memories_unified__0001"
TENANTS, EACH = 10, 8


async def test_what_was_upserted_is_found_by_its_tenant(connection: Milvus) -> None:
    index = connection.capabilities.default_index
    await ours.create(connection, NAME, spec(8), {})
    await ours.ensure_indexes(connection, NAME, spec(8), index)
    tenants = [UUID(int=number + 1) for number in range(TENANTS)]
    made = vectors(EACH, dim=8)
    for _ in range(2):
        for tenant in tenants:
            await entity_store.upsert(connection, NAME, entities(made, tenant=tenant))
    assert await entity_store.count(connection, NAME) == TENANTS * EACH
    for tenant in tenants:
        of_tenant = Conditions(spec(8)).equals("org_id", str(tenant))
        assert await entity_store.count(connection, NAME, of_tenant) == EACH
        found = await entity_store.search(
            connection,
            NAME,
            made[0],
            of_tenant,
            limit=TENANTS * EACH,
            params=index.search_params(TENANTS * EACH),
            fields=["org_id"],
            consistency="Strong",
        )
        assert [entity["org_id"] for _, entity in found] == [str(tenant)] * EACH
