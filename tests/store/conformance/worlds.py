"""A tenant with users, an agent and a session in each kind of store, and memories to put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.engine import URL

from memstore.store import MemoryScope, MemoryStore, NewMemory
from tests.support import raw_dsn

DIM = 4

# A store in files needs no server; it is given the one that the lowest versions are tested with.
PLACES = {
    "pg18-application": (18, "application"),
    "pg16-owner": (16, "owner"),
    "files": (16, "files"),
    "pg18-owner": (18, "owner"),
    "pg16-application": (16, "application"),
}


def _in(*names: str) -> pytest.MarkDecorator:
    places = [PLACES[name] for name in names]
    return pytest.mark.parametrize(("server", "place"), places, ids=names, indirect=True, scope="session")


everywhere = _in("pg18-application", "pg16-owner", "files")
"""The mark of a module whose tests hold for each kind of store."""

for_everybody = _in(*PLACES)
"""The mark of one whose tests must hold for each role on each PostgreSQL too."""


@dataclass(frozen=True)
class Place:
    """Where stores are: `url` is its owner's, None for files; `role` is who opens them."""

    kind: str
    url: URL | None = None
    role: str | None = None

    @property
    def is_files(self) -> bool:
        return self.url is None


@dataclass(frozen=True)
class Owner:
    """A tenant that nobody has used before, with those that its memories may name."""

    tenant: UUID = field(default_factory=uuid4)
    ann: UUID = field(default_factory=uuid4)
    bob: UUID = field(default_factory=uuid4)
    agent: UUID = field(default_factory=uuid4)
    session: UUID = field(default_factory=uuid4)

    async def settle(self, place: Place) -> None:
        if place.url is None:
            return
        connection = await asyncpg.connect(raw_dsn(place.url))
        try:
            await connection.execute(f"""
                INSERT INTO memstore.tenants (id, name) VALUES ('{self.tenant}', 'Acme');
                INSERT INTO memstore.users (id, tenant_id, auth_provider, external_id)
                    SELECT id, '{self.tenant}', 'local', id FROM unnest('{{{self.ann},{self.bob}}}'::uuid[]) AS id;
                INSERT INTO memstore.agents (tenant_id, id, name) VALUES ('{self.tenant}', '{self.agent}', 'Guide');
                INSERT INTO memstore.sessions (tenant_id, id, agent_id, expires_at)
                    VALUES ('{self.tenant}', '{self.session}', '{self.agent}', 'infinity');
            """)
        finally:
            await connection.close()


@dataclass(frozen=True)
class World:
    place: Place
    store: MemoryStore
    owner: Owner

    @property
    def scope(self) -> MemoryScope:
        return self.store.scope(self.owner.tenant)

    @property
    def anns(self) -> MemoryScope:
        return self.store.scope(self.owner.tenant, self.owner.ann)

    @property
    def bobs(self) -> MemoryScope:
        return self.store.scope(self.owner.tenant, self.owner.bob)

    async def neighbour(self) -> Owner:
        """Settle another tenant in the same store."""
        other = Owner()
        await other.settle(self.place)
        return other


def memory(number: int = 0, **values: object) -> NewMemory:
    """A memory that is like no other number's."""
    plain: dict[str, object] = {"id": f"m{number}", "content": f"memory {number}", "embedding": vector(number)}
    return NewMemory(**(plain | values))  # type: ignore[arg-type]


def vector(number: int) -> list[float]:
    return [1.0, number % 7 - 3, number % 5 - 2, number / 10]
