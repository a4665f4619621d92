"""Comparing a collection with PostgreSQL, memory by memory, while both are in use; and making it equal.

Both are read page by page without a lock. What looks different then is looked at again while its shard is held, in one
snapshot of PostgreSQL with its outbox: what is waiting there is not a difference, it is a change to come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import entity_store, outbox
from .copying import copy_or_set_aside, writing
from .differences import COMPARED, Difference, Problem, Sample, by_shard, changed_fields, difference, key_of
from .entities import Entity, UnfitEntityError, entity_id, entity_of
from .fields import columns_of
from .shards import locked
from .source import SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from .client import Milvus
    from .copying import Target
    from .fields import CollectionSpec
    from .source import Key, Source

SAMPLE = 200
SHOWN = 100
_ABOUT = ("id", "org_id", "node_id", *COMPARED)

_AS_THEY_ARE = """
    SELECT k.tenant_id, k.node_id, {compared},
           m.embedding IS NOT NULL AND r.node_id IS NULL AS is_mirrored,
           o.node_id IS NOT NULL AS is_pending
    FROM unnest($1::uuid[], $2::text[]) AS k (tenant_id, node_id)
    LEFT JOIN memstore.memory_nodes AS m ON m.tenant_id = k.tenant_id AND m.id = k.node_id
    LEFT JOIN memstore.mirror_rejections AS r ON r.tenant_id = k.tenant_id AND r.node_id = k.node_id
    LEFT JOIN (
        SELECT DISTINCT tenant_id, node_id FROM memstore.mirror_outbox WHERE memstore.mirror_shard(tenant_id) = $3
    ) AS o ON o.tenant_id = k.tenant_id AND o.node_id = k.node_id
"""


@dataclass(slots=True)
class Verification:
    """What was compared, counted.

    memories: memories in PostgreSQL that should be there.
    entities: entities in Milvus.
    sampled: entities of which each field was compared, the vector to the bit.
    pending: memories that differed, and are waiting in the outbox.
    changed: of the sampled, those of which a field differed; where there is one, others may differ too.
    filled: memories that were written anew for that reason, all of them.
    found: how many differences there were; `differences` are the first of them.
    repaired: how many of them were mended.
    """

    collection: str
    memories: int = 0
    entities: int = 0
    sampled: int = 0
    pending: int = 0
    changed: int = 0
    filled: int = 0
    found: int = 0
    repaired: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs that is left as it is."""
        return self.found == self.repaired


async def verify_content(
    source: Source,
    milvus: Milvus,
    target: Target,
    *,
    repair: bool = False,
    sample: int = SAMPLE,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Compare every id, version and moment, and every field of a sample.

    Args:
        source: PostgreSQL.
        milvus: Milvus.
        target: the collection.
        repair: write what is missing or older, and delete what is nobody's.
        sample: of how many entities, drawn by chance, each field is compared.
        on_progress: called with how many memories and entities were compared so far.
    """
    comparison = _Comparison(source, milvus, target, repair, Verification(target.name))
    result = comparison.result
    drawn = Sample(sample)
    async for page in entity_store.scan(milvus, target.name, _ABOUT):
        drawn.offer(await comparison.entities(page))
        result.entities += len(page)
        on_progress(result.entities + result.memories)
    for shard in range(SHARDS):
        async for tenant_id in source.tenants(shard):
            after = ""
            while rows := await source.versions(tenant_id, after, entity_store.BATCH):
                await comparison.memories(tenant_id, rows)
                result.memories += len(rows)
                after = rows[-1][0]
                on_progress(result.entities + result.memories)
    await comparison.sample(drawn.keys)
    return result


class _Comparison:
    def __init__(self, source: Source, milvus: Milvus, target: Target, repair: bool, result: Verification) -> None:
        self._source, self._milvus, self._target, self._repair = source, milvus, target, repair
        self.result = result
        self._settled: set[Key] = set()

    async def entities(self, page: list[Entity]) -> list[Key]:
        """Compare what Milvus has; return the memories that these are of."""
        keys: dict[str, Key] = {}
        for entity in page:
            key = key_of(entity)
            if key is None:
                await self._nobodys(entity)
            else:
                keys[entity["id"]] = key
        wanted = {(each["tenant_id"], each["node_id"]): each for each in await self._as_they_are(list(keys.values()))}
        by_id = {entity["id"]: entity for entity in page}
        spec = self._target.spec
        suspicious = {key for id_, key in keys.items() if difference(spec, key, wanted[key], by_id[id_]) is not None}
        await self._look_again(list(suspicious))
        return [key for key in keys.values() if key not in suspicious]

    async def memories(self, tenant_id: UUID, rows: Sequence[tuple[str, int]]) -> None:
        """Compare what PostgreSQL has."""
        ids = {entity_id(tenant_id, node_id): node_id for node_id, _ in rows}
        found = await entity_store.by_ids(self._milvus, self._target.name, ids, ["version"])
        await self._look_again([(tenant_id, node_id) for id_, node_id in ids.items() if id_ not in found])

    async def sample(self, keys: list[Key]) -> None:
        """Compare each field of some memories."""
        for shard, group in by_shard(keys):
            async with locked(self._source.connection, shard):
                rows = await self._settled_rows(group, shard)
                found = await entity_store.by_ids(
                    self._milvus, self._target.name, [entity_id(*key) for key in rows], self._target.spec.names
                )
                for key, row in rows.items():
                    entity = found.get(entity_id(*key))
                    if entity is not None:  # else it was deleted in between
                        self.result.sampled += 1
                        await self._compare(key, row, entity)

    async def _settled_rows(self, keys: Sequence[Key], shard: int) -> dict[Key, Any]:
        """Return the rows of those memories of which no change is waiting: as of one moment, for writers go on."""
        async with self._source.connection.transaction(isolation="repeatable_read", readonly=True):
            found = await self._as_they_are(keys, shard)
            settled = [(row["tenant_id"], row["node_id"]) for row in found if not row["is_pending"]]
            rows = await self._source.rows(self._target.spec, settled)
        return {(row["tenant_id"], row["node_id"]): row for row in rows}

    async def _compare(self, key: Key, row: Any, entity: Entity) -> None:
        try:
            wanted = entity_of(self._target.spec, row)
        except UnfitEntityError:
            return  # set aside meanwhile
        changed = changed_fields(self._target.spec, wanted, entity)
        if changed:
            self.result.changed += 1
            await self._note([Difference(Problem.CHANGED, *key, ", ".join(changed))], [key])

    async def _look_again(self, keys: list[Key]) -> None:
        """Say of memories that looked different whether they are, while nobody else can write them to the mirror."""
        for shard, group in by_shard(keys):
            async with locked(self._source.connection, shard):
                rows = await self._as_they_are(group, shard)
                ids = [entity_id(*key) for key in group]
                found = await entity_store.by_ids(self._milvus, self._target.name, ids, COMPARED)
                differences: list[Difference] = []
                for row in rows:
                    key = (row["tenant_id"], row["node_id"])
                    seen = difference(self._target.spec, key, row, found.get(entity_id(*key)))
                    if seen is None or key in self._settled:
                        continue
                    if row["is_pending"]:
                        self.result.pending += 1
                        self._settled.add(key)
                    else:
                        differences.append(seen)
                await self._note(
                    differences, [(each.tenant_id, each.node_id) for each in differences if each.tenant_id]
                )

    async def _note(self, differences: list[Difference], keys: list[Key]) -> None:
        """Write differences down, and mend them if that is asked for; their shard is held."""
        if not differences:
            return
        self.result.found += len(differences)
        self.result.differences += differences[: SHOWN - len(self.result.differences)]
        self._settled.update(keys)
        if self._repair:
            copied = await copy_or_set_aside(self._source, self._milvus, self._target, keys)
            await outbox.settle_rejections(self._source, keys, copied.rejections)
            self.result.repaired += len(differences)

    async def _nobodys(self, entity: Entity) -> None:
        self.result.found += 1
        detail = f"its id is not that of {entity.get('node_id')!r} of {entity.get('org_id')!r}"
        self.result.differences += [Difference(Problem.STRAY, None, entity["id"], detail)][
            : SHOWN - len(self.result.differences)
        ]
        if self._repair:
            async with writing(self._source, self._milvus):
                await entity_store.delete(self._milvus, self._target.name, [entity["id"]])
            self.result.repaired += 1

    async def _as_they_are(self, keys: Sequence[Key], shard: int = -1) -> list[Any]:
        found: list[Any] = await self._source.connection.fetch(
            _as_they_are(self._target.spec), [key[0] for key in keys], [key[1] for key in keys], shard
        )
        return found


@lru_cache(maxsize=20)
def _as_they_are(spec: CollectionSpec) -> str:
    return _AS_THEY_ARE.format(compared=columns_of([spec.field(name) for name in COMPARED]))
