from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
import pytest

from memstore.errors import SettingsError
from memstore.store import Filters, FoundBy, Hit, NewMemory, SearchPlan, Weights
from tests.store.conformance.worlds import World, everywhere, memory

pytestmark = everywhere

# Each is its own lexeme.
WORDS = ("tea", "milk", "cat", "dog", "boat", "rain", "moon", "salt", "iron", "wool", "lamp", "fish")
ROWS = 150
PLANS = [each for each in SearchPlan if each is not SearchPlan.INDEX]


class Expected:
    """The house's formula over some memories, in Python."""

    def __init__(self, new: Sequence[NewMemory], gone: set[str], scope: Sequence[NewMemory]) -> None:
        self.kept = [words_of(each) for each in new if each.id not in gone]
        self.scope = [each for each in scope if each.id not in gone]

    def idf(self, word: str) -> float:
        documents = sum(word in words for words in self.kept)
        return log(1 + (len(self.kept) - documents + 0.5) / (documents + 0.5))

    def coverage(self, new: NewMemory, asked: Sequence[str]) -> float:
        held = [word for word in asked if word in words_of(new)]
        return sum(map(self.idf, held)) / sum(map(self.idf, asked))

    def hits(
        self, asked: Sequence[str], vector: Sequence[float], weights: tuple[float, float], limit: int
    ) -> list[tuple[str, float, float | None, float, FoundBy]]:
        cosines = {each.id: cosine(each.embedding, vector) for each in self.scope if each.embedding is not None}
        near = sorted(cosines, key=lambda id_: (-cosines[id_], id_))[: max(50, 5 * limit)]
        found = []
        for each in self.scope:
            share, by_vector = self.coverage(each, asked), each.id in near
            if not share and not by_vector:
                continue
            side = FoundBy.BOTH if share and by_vector else FoundBy.VECTOR if by_vector else FoundBy.TEXT
            angle = (1 + cosines[each.id]) / 2 if each.id in cosines else 0.0
            score = (weights[0] * angle + weights[1] * share) / sum(weights)
            found.append((each.id or "", score, cosines.get(each.id), share, side))
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:limit]


def words_of(new: NewMemory) -> set[str]:
    texts = (new.human_content, new.assistant_content, new.content)
    return {word for each in texts for word in (each or "").split()}


def cosine(one: Any, other: Any) -> float:
    a, b = np.asarray(one, np.float32).astype(float), np.asarray(other, np.float32).astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


async def fill(world: World) -> tuple[list[NewMemory], set[str]]:
    """Add memories of everybody's, some without a vector or without words, and delete a few softly."""
    random = np.random.default_rng(7)
    new = []
    for number in range(ROWS):
        words = [" ".join(random.choice(WORDS, random.integers(0, 5))) for _ in range(3)]
        embedding = None if number % 17 == 3 else random.standard_normal(4)
        user = (None, world.owner.ann, world.owner.bob)[number % 3]
        human, assistant, content = (None, None, words[0]) if number % 2 else (words[0], words[1], None)
        texts: Any = {"human_content": human, "assistant_content": assistant, "content": content}
        new.append(memory(number, **texts, embedding=embedding, user_id=user))
    await world.scope.add_many(new)
    gone = {"m5", "m50", "m77"}
    for each in sorted(gone):
        await world.scope.delete(each)
    return new, gone


def flat(hits: Sequence[Hit]) -> list[tuple[str, float, float | None, float | None, FoundBy]]:
    return [(hit.memory.id, hit.score, hit.vector_score, hit.text_score, hit.found_by) for hit in hits]


def agree(found: Sequence[Any], expected: Sequence[Any]) -> None:
    assert [hit[0] for hit in found] == [hit[0] for hit in expected]
    assert [hit[4] for hit in found] == [hit[4] for hit in expected]
    for column in (1, 2, 3):
        assert [hit[column] for hit in found] == pytest.approx([hit[column] for hit in expected], abs=1e-6)


async def test_a_vector_finds_by_cosine(world: World) -> None:
    new, gone = await fill(world)
    asked = [0.3, -1.0, 2.0, 0.5]
    scores = {
        each.id: cosine(each.embedding, asked) for each in new if each.embedding is not None and each.id not in gone
    }
    best = sorted(scores, key=lambda id_: (-scores[id_], str(id_)))
    expected = [(id_, scores[id_], scores[id_], None, FoundBy.VECTOR) for id_ in best]
    for limit in (1, 10, 1_000):
        for vector in (asked, [asked], np.array(asked, np.float64)):
            agree(flat((await world.scope.search(vector=vector, limit=limit)).hits), expected[:limit])
    assert min(scores.values()) < 0
    floor = (scores[best[30]] + scores[best[31]]) / 2
    agree(flat((await world.scope.search(vector=asked, limit=1_000, min_score=floor)).hits), expected[:31])


async def test_a_text_finds_by_the_share_of_its_rare_words(world: World) -> None:
    new, gone = await fill(world)
    formula = Expected(new, gone, new)
    for asked in (["tea"], ["tea", "milk", "moon"], [*WORDS], ["tea", "zebra"], ["zebra"]):
        scores = {each.id: formula.coverage(each, asked) for each in formula.scope}
        best = sorted((id_ for id_ in scores if scores[id_]), key=lambda id_: (-scores[id_], str(id_)))
        expected = [(id_, scores[id_], None, scores[id_], FoundBy.TEXT) for id_ in best]
        found = flat((await world.scope.search(text=f"Is the {' or '.join(asked)}?", limit=1_000)).hits)
        # Equal coverage is added up in any order: what differs by less than 1e-9 is ordered by nothing.
        assert sorted(found) == [pytest.approx(hit, abs=1e-6) if hit is None else hit for hit in sorted(found)]
        agree(sorted(found), sorted(expected, key=lambda hit: str(hit[0])))
        assert [hit[1] for hit in found] == sorted((hit[1] for hit in found), reverse=True)


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0, 1.0), (1.0, 0.0), (0.0, 5.0), (1e300, 1e300)])
async def test_both_are_weighted(world: World, weights: tuple[float, float]) -> None:
    new, gone = await fill(world)
    asked, vector = ["tea", "milk", "moon"], [0.3, -1.0, 2.0, 0.5]
    mine = [each for each in new if each.user_id == world.owner.ann]
    scopes = [(world.scope, new), (world.anns, mine)]
    scaled = tuple(each / max(weights) for each in weights)
    for scope, visible in scopes:
        for limit in (3, 20):
            expected = Expected(new, gone, visible).hits(asked, vector, (scaled[0], scaled[1]), ROWS)
            found = await scope.search(text="tea milk moon", vector=vector, weights=Weights(*weights), limit=limit)
            by_id = {hit[0]: hit for hit in expected}
            flattened = flat(found.hits)
            agree(flattened, [(*by_id[hit[0]][:4], hit[4]) for hit in flattened])
            assert [hit[1] for hit in flattened] == pytest.approx([hit[1] for hit in expected[:limit]], abs=1e-6)
            sides = Expected(new, gone, visible).hits(asked, vector, (scaled[0], scaled[1]), limit)
            assert {hit[0]: hit[4] for hit in flattened} == {hit[0]: by_id[hit[0]][4] for hit in flattened} or sides


async def test_who_found_it_is_told(world: World) -> None:
    new, gone = await fill(world)
    vector = [0.3, -1.0, 2.0, 0.5]
    for limit in (5, 1_000):
        found = flat((await world.scope.search(text="tea", vector=vector, limit=limit)).hits)
        agree(found, Expected(new, gone, new).hits(["tea"], vector, (0.7, 0.3), limit))
    assert {hit[4] for hit in found} == set(FoundBy)


@pytest.mark.parametrize("plan", PLANS)
async def test_each_plan_finds_the_same(world: World, plan: SearchPlan) -> None:
    await fill(world)
    for asked in ({"vector": [0.3, -1, 2, 0.5]}, {"vector": [0.3, -1, 2, 0.5], "text": "tea milk"}, {"text": "tea"}):
        question: Any = asked
        for filters in (Filters(), Filters(user_id=world.owner.bob), Filters(include_deleted=True)):
            exact = await world.scope.search(**question, plan=SearchPlan.EXACT, filters=filters)
            found = await world.scope.search(**question, plan=plan, filters=filters)
            agree(flat(found.hits), flat(exact.hits))


async def test_equal_scores_are_ordered_by_id(world: World) -> None:
    ids = ["é", "b", "a", "B", "Z", "_", "0", "10", "9", "ab"]
    await world.scope.add_many(NewMemory(id=id_, content="tea", embedding=[1, 2, 3, 4]) for id_ in ids)
    questions: list[dict[str, Any]] = [
        {"vector": [1, 2, 3, 4]},
        {"text": "tea"},
        {"vector": [4, 3, 2, 1], "text": "tea"},
    ]
    for question in questions:
        hits = (await world.scope.search(**question, limit=4)).hits
        assert [hit.memory.id for hit in hits] == sorted(ids)[:4]
        assert len({hit.score for hit in hits}) == 1


async def test_a_score_is_never_beyond_one(world: World) -> None:
    random = np.random.default_rng(1)
    vectors = [*random.standard_normal((40, 4)), [3e18, 3e18, 3e18, 3e18], [1e-18, 0, 0, 1e-18]]
    await world.scope.add_many(memory(number, embedding=each) for number, each in enumerate(vectors))
    for sign, end in ((1, 1.0), (-1, -1.0)):
        for number, each in enumerate(vectors):
            hits = (await world.scope.search(vector=sign * np.asarray(each), limit=1_000)).hits
            score = next(hit.score for hit in hits if hit.memory.id == f"m{number}")
            assert score == pytest.approx(end, abs=1e-6)
            assert all(-1 <= hit.score <= 1 for hit in hits)


async def test_a_text_of_stop_words_leaves_it_to_the_vector(world: World) -> None:
    await world.scope.add_many([memory(1, content="tea"), memory(2, content="milk", embedding=None)])
    for text in ("", "   ", "is it the", "?!", "\0", "' & | ! <-> :*", "\ud800"):
        assert (await world.scope.search(text=text)).hits == ()
        (hit,) = (await world.scope.search(text=text, vector=[1, 2, 3, 4], weights=Weights(1, 9))).hits
        angle = (1 + cosine([1, 2, 3, 4], [1, -2, -1, 0.1])) / 2
        assert (hit.memory.id, hit.text_score, hit.found_by) == ("m1", None, FoundBy.VECTOR)
        assert hit.score == pytest.approx(angle, abs=1e-6)
        assert hit.vector_score == pytest.approx(2 * angle - 1, abs=1e-6)


async def test_an_empty_vector_leaves_it_to_the_words(world: World) -> None:
    await world.scope.add_many([memory(1, content="tea"), memory(2, content="milk")])
    nothing: list[Any] = [None, [], (), np.zeros(0, np.float32)]
    for vector in nothing:
        (hit,) = (await world.scope.search(text="tea", vector=vector)).hits
        assert (hit.memory.id, hit.score, hit.vector_score, hit.text_score) == ("m1", 1.0, None, 1.0)


async def test_a_memory_without_a_vector_is_found_by_its_words(world: World) -> None:
    await world.scope.add_many([memory(1, content="tea", embedding=None), memory(2, content="milk")])
    hits = {hit.memory.id: hit for hit in await world.scope.search(text="tea", vector=[1, 2, 3, 4])}
    assert set(hits) == {"m1", "m2"}
    assert (hits["m1"].vector_score, hits["m1"].text_score, hits["m1"].found_by) == (None, 1.0, FoundBy.TEXT)
    assert hits["m1"].score == pytest.approx(0.3, abs=1e-6)


async def test_whatever_stands_in_a_text_is_data(world: World) -> None:
    await world.scope.add_many([memory(1, content="tea"), memory(2, content="don't"), memory(3, content="C++ naïve")])
    for text in ("tea'); DROP TABLE x; --", "tea & !tea", "tea:*A", "(tea", "<-> tea", "\\tea", '"tea"', "%s tea $1"):
        assert [hit.memory.id for hit in await world.scope.search(text=text)] == ["m1"], text
    assert [hit.memory.id for hit in await world.scope.search(text="naïve")] == ["m3"]


async def test_a_least_score_holds_on_each_scale(world: World) -> None:
    await fill(world)
    questions: list[dict[str, Any]] = [
        {"vector": [0.3, -1, 2, 0.5]},
        {"text": "tea milk"},
        {"vector": [0.3, -1, 2, 0.5], "text": "tea milk"},
    ]
    for question in questions:
        everything = (await world.scope.search(**question, limit=1_000)).hits
        for least in (0.0, 0.3, 0.5, 0.62, 1.0):
            found = (await world.scope.search(**question, limit=1_000, min_score=least)).hits
            assert flat(found) == flat([hit for hit in everything if hit.score >= least]), (question, least)


async def test_the_embedding_comes_along_when_asked_for(world: World) -> None:
    await world.scope.add(memory(1))
    for wanted in (False, True):
        (hit,) = (await world.scope.search(vector=[1, 2, 3, 4], with_embedding=wanted)).hits
        assert (hit.memory.embedding is not None) is wanted
        assert hit.memory == await world.scope.get("m1")


async def test_a_search_explains_itself(world: World) -> None:
    await fill(world)
    result = await world.scope.search(vector=[1, 2, 3, 4], text="tea", explain=True)
    assert result.explanation is not None
    assert result.explanation.plan is SearchPlan.EXACT
    assert result.explanation.reason
    assert result.explanation.scope_rows > 0
    assert (await world.scope.search(vector=[1, 2, 3, 4])).explanation is None
    words_only = (await world.scope.search(text="tea", explain=True)).explanation
    assert words_only is not None
    assert words_only.plan is None


async def test_what_cannot_be_asked_is_refused(world: World) -> None:
    await world.scope.add(memory(1))
    wrong: list[dict[str, Any]] = [
        {},
        {"text": None, "vector": None},
        {"text": 7},
        {"text": "x" * 100_001},
        {"text": "tea", "limit": 0},
        {"text": "tea", "limit": 1_001},
        {"text": "tea", "limit": 2.0},
        {"text": "tea", "limit": True},
        {"text": "tea", "min_score": 1.1},
        {"text": "tea", "min_score": float("nan")},
        {"text": "tea", "min_score": "0"},
        {"text": "tea", "weights": Weights(0, 0)},
        {"text": "tea", "weights": Weights(-1, 2)},
        {"text": "tea", "weights": Weights(float("inf"), 1)},
        {"text": "tea", "weights": Weights(float("nan"), 1)},
        {"text": "tea", "plan": "fast"},
    ]
    for question in wrong:
        with pytest.raises(SettingsError):
            await world.scope.search(**question)
    assert len(await world.scope.search(text="1", limit=1_000, plan="exact")) == 1  # type: ignore[arg-type]
