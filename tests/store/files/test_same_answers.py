"""Random calls of both stores, one after the other: the same answers, the same errors, the same memories in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.engine import URL

from memstore.errors import MemstoreError
from memstore.models import DecayTier, MemoryType, NeuroType
from memstore.store import (
    Filters,
    Memory,
    MemoryChange,
    MemoryScope,
    NewMemory,
    Order,
    PostgresStore,
    SearchPlan,
    SearchResult,
    Weights,
)
from memstore.store.files import FileStore
from tests.store.conformance.worlds import Owner, Place

pytestmark = pytest.mark.parametrize("server", [18], ids=["pg18"], indirect=True, scope="session")

NOW = datetime.now(UTC)
IDS = [f"m{n}" for n in range(12)]
TAGS: list[dict[str, Any]] = [
    {},
    {"topics": ["tea"]},
    {"a": ["tea", "git"], "b": 3},
    {"topics": "tea"},
    {"a": [1, "é"]},
]
METADATA: list[dict[str, Any]] = [{}, {"a": 1}, {"a": 1.0}, {"a": [1, {"b": None}]}, {"k": 10**20}, {"a": True}]
TIMES = [NOW - timedelta(days=400), NOW - timedelta(days=40), NOW + timedelta(days=3), datetime(2026, 1, 1, 1, 2, 3, 4)]
WORDS = [
    "tea",
    "milk",
    "moon",
    "painting",
    "paintings",
    "don't",
    "C++",
    "naïve",
    "the",
    "running",
    "a@b.org",
    "http://a.b/c",
    "3.14",
    "É",
]

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class Chance(random.Random):
    """Makes up calls. Some of what it makes up is refused."""

    def __init__(self, seed: int, owner: Owner) -> None:
        super().__init__(seed)
        self._owner = owner

    def text(self) -> str:
        return " ".join(self.choices(WORDS, k=self.randint(1, 6)))

    def vector(self) -> list[float] | None:
        wide = [1.0, *(self.choice([-1.0, 0.0, 0.5, self.gauss()]) for _ in range(3))]
        return self.choices([wide, None, [1.0, 2.0, 3.0], [0.0] * 4], [90, 6, 3, 1])[0]

    def values(self, most: int) -> dict[str, Any]:
        kinds: dict[str, Callable[[], Any]] = {
            "agent_id": lambda: self.choice([self._owner.agent, None]),
            "session_id": lambda: self.choice([self._owner.session, None]),
            "conversation_id": lambda: self.choice(["c1", "c2", None]),
            "key": lambda: self.choice(["k1", "k2", None]),
            "human_content": lambda: self.choice([self.text(), None]),
            "assistant_content": lambda: self.choice([self.text(), None]),
            "content": lambda: self.choice([self.text(), "", None]),
            "source": lambda: self.choice(["chat", "book", None, "x" * 51]),
            "tags": lambda: self.choice(TAGS),
            "metadata": lambda: self.choice(METADATA),
            "cluster_confidence": lambda: self.choice([0.1, 0.5]),
            "memory_type": lambda: self.choice(list(MemoryType)),
            "neuro_type": lambda: self.choice(list(NeuroType)),
            "importance": lambda: self.choice([1, 5, 10]),
            "decay_tier": lambda: self.choice([*DecayTier, None]),
            "expires_at": lambda: self.choice([*TIMES, None]),
            "embedding": self.vector,
        }
        return {name: kinds[name]() for name in self.sample(sorted(kinds), self.randint(0, most))}

    def memory(self) -> NewMemory:
        values: dict[str, Any] = {"id": self.choice(IDS), "content": self.text(), "embedding": self.vector()}
        values |= self.values(6) | {"created_at": self.choice([None, *TIMES])}
        values["user_id"] = self.choices([None, self._owner.ann, self._owner.bob], [8, 1, 1])[0]
        return NewMemory(**values)

    def filters(self) -> Filters:
        kinds: dict[str, Callable[[], Any]] = {
            "conversation_id": lambda: self.choice(["c1", ["c1", "c2"], ()]),
            "user_id": lambda: self.choice([self._owner.ann, [self._owner.ann, self._owner.bob]]),
            "agent_id": lambda: [self._owner.agent],
            "memory_type": lambda: self.choice(list(MemoryType)),
            "neuro_type": lambda: [*NeuroType][:2],
            "tags_any": lambda: self.choice([["tea"], ["git", "é"], []]),
            "tags_all": lambda: self.choice([["tea", "git"], ["tea"], []]),
            "created_from": lambda: self.choice(TIMES),
            "created_to": lambda: self.choice(TIMES),
            "importance_min": lambda: self.randint(1, 9),
            "metadata": lambda: self.choice(METADATA),
            "include_deleted": lambda: True,
            "include_expired": lambda: True,
        }
        return Filters(**{name: kinds[name]() for name in self.sample(sorted(kinds), self.choice([0, 0, 1, 2]))})

    def search(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"limit": self.choice([1, 5, 50]), "filters": self.filters(), "with_embedding": True}
        asked |= {"plan": self.choice(list(SearchPlan)), "min_score": self.choice([None, None, 0.2])}
        asked |= {"vector": self.vector()} if self.random() < 0.7 else {}
        asked |= {"text": self.choice([self.text(), "the", "' & |"])} if self.random() < 0.7 else {}
        return asked | {"weights": self.choice([Weights(), Weights(self.random(), 1)])}

    def call(self, versions: dict[str, int]) -> Call:
        id_ = self.choice(IDS)
        skip = self.random() < 0.6
        several = [self.memory() for _ in range(self.randint(0, 5))]
        change = self.values(4) | ({"deleted_at": self.choice([None, NOW])} if self.random() < 0.2 else {})
        version = self.choices([versions.get(id_, 1), 77], [9, 1])[0]
        flags = {name: self.random() < 0.5 for name in ("include_deleted", "include_expired", "with_embedding")}
        calls: list[tuple[int, Call]] = [
            (20, ("add", (self.memory(),), {})),
            (10, ("add_many", (several,), {"skip_existing": skip})),
            (20, ("update", (id_, MemoryChange(**change)), {"version": version})),
            (10, ("delete", (id_,), {"hard": skip, "version": self.choice([None, None, version])})),
            (8, ("record_access", (self.choice([id_, [id_, "m1", "m1"], []]),), {})),
            (8, ("get_many", ([*self.sample(IDS, 4), "\0"],), flags)),
            (8, ("list", (self.filters(),), {"limit": self.choice([1, 100]), "order": self.choice(list(Order))})),
            (4, ("count", (self.filters(),), {})),
            (25, ("search", (), self.search())),
        ]
        return self.choices([call for _, call in calls], [weight for weight, _ in calls])[0]


def plain(found: Any) -> Any:
    """Return an answer as it may be compared: moments of this test are all the same to it."""
    if isinstance(found, Memory):
        values = {each.name: plain(getattr(found, each.name)) for each in fields(found)}
        return values | {"expiry": None if found.expiry is None else round(found.expiry.timestamp(), -4)}
    if isinstance(found, SearchResult):
        scores = [[each.score, each.vector_score, each.text_score] for each in found]
        rounded = [[None if score is None else round(score, 5) for score in row] for row in scores]
        return [(plain(each.memory), row, each.found_by) for each, row in zip(found, rounded, strict=True)]
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    if isinstance(found, np.ndarray):
        return found.tolist()
    if isinstance(found, datetime) and abs(found - NOW) < timedelta(hours=12):
        return "now"
    return [*map(plain, found.memories), found.next is None] if hasattr(found, "memories") else found


async def answer(scope: MemoryScope, call: Call) -> Any:
    name, arguments, options = call
    try:
        return plain(await getattr(scope, name)(*arguments, **options))
    except MemstoreError as error:
        return type(error).__name__, str(error).replace("this database", "this tenant")


async def test_each_answers_the_same_to_whatever_is_called(url: URL, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    async with PostgresStore(url, pool_size=1) as database, FileStore(tmp_path) as files:
        for seed in range(3):
            owner = Owner()
            await owner.settle(Place("owner", url))
            chance = Chance(seed, owner)
            versions: dict[str, int] = {}
            # The first is added to both: until then files do not know how wide embeddings are.
            call: Call = ("add", (NewMemory(id="m0", content="tea", embedding=[1, 2, 3, 4]),), {})
            for n in range(150):
                user = chance.choice([None, None, owner.ann, owner.bob]) if n else None
                expected, found = [await answer(store.scope(owner.tenant, user), call) for store in (database, files)]
                assert found == expected, (seed, n, call)
                outcomes[expected[0] if isinstance(expected, tuple) else call[0]] += 1
                everything: Call = ("get_many", (IDS,), {"include_deleted": True, "include_expired": True})
                kept = [await answer(store.scope(owner.tenant), everything) for store in (database, files)]
                assert kept[1] == kept[0], (seed, n, call)
                versions = {id_: values["version"] for id_, values in kept[0].items()}
                call = chance.call(versions)
    assert outcomes.keys() >= {"add", "add_many", "update", "delete", "record_access", "get_many", "list", "search"}
    assert outcomes.keys() >= {"MemoryExistsError", "UnknownMemoryError", "StaleMemoryError", "VectorError"}


async def test_of_several_reasons_to_refuse_each_names_the_same(url: URL, tmp_path: Path) -> None:
    owner = Owner()
    await owner.settle(Place("owner", url))
    narrow: dict[str, Any] = {"content": "tea", "embedding": [1, 2]}
    calls: list[Call] = [
        ("add", (NewMemory(id="m0", **narrow),), {}),
        ("add_many", ([NewMemory(id="m0", **narrow)],), {}),
        ("update", ("nobody", MemoryChange(embedding=[1, 2])), {"version": 1}),
        ("update", ("m0", MemoryChange(embedding=[1, 2])), {"version": 9}),
        ("add_many", ([NewMemory(id="m9", key="k", content="a"), NewMemory(id="m0", content="b")],), {}),
        ("add_many", ([NewMemory(id="m1", key="x", content="a"), NewMemory(id="m0", key="x", content="b")],), {}),
        ("add_many", ([NewMemory(id="m2", key="x", content="a"), NewMemory(id="m1", key="x", content="b")],), {}),
    ]
    async with PostgresStore(url, pool_size=1) as database, FileStore(tmp_path) as files:
        scopes = [store.scope(owner.tenant) for store in (database, files)]
        for scope in scopes:
            await scope.add(NewMemory(id="m0", content="tea", key="k", embedding=[1, 2, 3, 4]))
        for call in calls:
            expected, found = [await answer(scope, call) for scope in scopes]
            assert isinstance(expected, tuple)
            assert found == expected, call
