"""Which collection readers are led to: asked for now and then, so that a switch is seen and costs no search."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import MilvusRefusedError, MilvusStateError
from . import collections, entity_store
from .client import open_milvus
from .engine import index_of
from .naming import ALIAS
from .revisions import load_chain
from .state import INDEX, BuildState, Physical

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeVar

    from .client import Milvus
    from .engine import VectorIndex
    from .entities import Entity
    from .expressions import Conditions
    from .fields import CollectionSpec
    from .revisions import Chain
    from .settings import MilvusSettings

    T = TypeVar("T")

KNOWN_FOR_S = 1.0


@dataclass(frozen=True, slots=True)
class Live:
    """The collection that readers are led to: its physical name, what it is made of, and how it is searched."""

    name: str
    identity: str
    spec: CollectionSpec
    index: VectorIndex


class Reader:
    """Searches in whatever collection the alias leads to.

    It goes by the physical name: under an alias pymilvus keeps the schema of what it led to before. The old collection
    stays when the alias is moved, so what was found out a second ago can still be searched; where it was dropped too,
    the search is done again in the new one.
    """

    def __init__(self, settings: MilvusSettings, chain: Chain | None = None, alias: str = ALIAS) -> None:
        self._settings, self._alias = settings, alias
        self._chain = chain
        self._milvus: Milvus | None = None
        self._live: Live | None = None
        self._known_until = 0.0
        self._loaded: set[str] = set()
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connection."""
        async with self._opening:
            if self._milvus is not None:
                await self._milvus.close()
                self._milvus = None

    async def search(
        self,
        vector: Any,
        conditions: Callable[[CollectionSpec], Conditions],
        *,
        limit: int,
        fields: Sequence[str],
        consistency: str,
    ) -> tuple[Live, list[tuple[float, Entity]]]:
        """Return the nearest entities, best first, with their cosines, and where they were found.

        Raises:
            MilvusStateError: the alias leads nowhere, or to something that memstore did not make.
            MilvusUnreachableError, MilvusRefusedError: see their descriptions.
        """

        async def ask(milvus: Milvus, live: Live) -> tuple[Live, list[tuple[float, Entity]]]:
            found = await entity_store.search(
                milvus,
                live.name,
                vector,
                conditions(live.spec),
                limit=limit,
                params=live.index.search_params(limit),
                fields=fields,
                consistency=consistency,
            )
            return live, found

        return await self._with_live(ask)

    async def count(self, conditions: Callable[[CollectionSpec], Conditions]) -> int:
        """Count entities, at Strong consistency. Raises as `search`."""
        return await self._with_live(lambda milvus, live: entity_store.count(milvus, live.name, conditions(live.spec)))

    async def live(self) -> Live:
        """Return the collection that readers are led to. Raises as `search`."""

        async def same(_: Milvus, live: Live) -> Live:
            return live

        return await self._with_live(same)

    async def _with_live(self, work: Callable[[Milvus, Live], Awaitable[T]]) -> T:
        milvus = await self._connected()
        try:
            return await work(milvus, await self._resolved(milvus))
        except MilvusRefusedError:
            # The collection was dropped after a switch, or a server that started anew has not loaded it.
            self._known_until = 0.0
            self._loaded.clear()
            return await work(milvus, await self._resolved(milvus))

    async def _connected(self) -> Milvus:
        async with self._opening:
            if self._milvus is None:
                self._milvus = await open_milvus(self._settings)
            return self._milvus

    async def _resolved(self, milvus: Milvus) -> Live:
        if self._live is None or monotonic() >= self._known_until:
            asked_at = monotonic()
            name = await collections.target_of(milvus, self._alias)
            if name is None:
                raise MilvusStateError(f"there is no {self._alias} in {self._settings.uri}. Run: memstore milvus up")
            identity = await collections.identity(milvus, name)
            if self._live is None or self._live.identity != identity or identity not in self._loaded:
                self._live = await self._described(milvus, name, identity)
            self._known_until = asked_at + KNOWN_FOR_S
        return self._live

    async def _described(self, milvus: Milvus, name: str, identity: str) -> Live:
        found = await collections.describe(milvus, name)
        physical = Physical(found)
        if physical.state is BuildState.RESTORING:
            raise MilvusStateError(
                f"{self._alias} leads to {name}, which a restore has not finished. Run it again: memstore milvus "
                "restore DIR"
            )
        if physical.state is BuildState.FOREIGN or physical.revision is None:
            raise MilvusStateError(
                f"{self._alias} leads to {name}, which memstore did not make. Run: memstore milvus status"
            )
        chain = self._chain or load_chain()
        width = next(each.length for each in found.fields if each.name == "embedding")
        spec = chain.spec(physical.revision, int(width or 0))
        if identity not in self._loaded:
            await collections.load(milvus, name)
            self._loaded.add(identity)
        return Live(name, identity, spec, index_of(found.properties.get(INDEX) or found.indexes.get("embedding", "")))
