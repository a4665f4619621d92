from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.store.search_sql.conftest import FEW
from tests.store.search_sql.memories import Memory, expected, insert, same, search

DATA = [
    "opal & moth | !tea",
    "opal' OR 1=1 --",
    "(((opal",
    "opal:*",
    "<-> opal <2> moth",
    "'opal' \"moth\"",
    "\\opal\\ \\\\",
    "$1 $$ {opal} %s %I :x",
    "opal 🦉 moth é 漢字 \u202e \ufeff",
]


@pytest.mark.parametrize("question", DATA)
async def test_whatever_is_in_a_text_is_data(few: AsyncEngine, question: str) -> None:
    found = await search(few, query_text=question, match_count=1000)
    by_opal = await search(few, query_text="opal", match_count=1000)
    assert {row[0] for row in by_opal} <= {row[0] for row in found}
    assert await search(few, query_text=question, query_embedding=np.ones(4), filters={"source": question}) == []


@pytest.mark.parametrize("word", ["o'neil", "back\\slash", "漢字", "user@example.com", "/a/b's", "x" * 2046, "🦉"])
async def test_a_word_is_found_whatever_is_in_it(engine: AsyncEngine, word: str) -> None:
    await insert(engine, [Memory("one", (word, "tea"), None), Memory("two", ("tea",), None)])
    found = await search(engine, query_text=f"tea {word}")
    assert [(row[0], row[3] == 1) for row in found] == [("one", True), ("two", word == "🦉")]  # which is no word


async def test_of_many_words_the_64_rarest_count(engine: AsyncEngine) -> None:
    many = [f"w{number}x" for number in range(100)]
    made = [Memory(f"m{number:03}", tuple(many[: number + 1]), None) for number in range(100)]
    await insert(engine, made)
    # w99x is in one memory, w0x in all of them.
    found = await search(engine, query_text=" ".join(many), match_count=1000)
    assert same(found, expected(made, many[36:], limit=1000))


async def test_a_text_of_any_length_is_searched(few: AsyncEngine) -> None:
    found = await search(few, query_text="opal " + "na " * 100_000, match_count=1000)
    assert same(found, expected(FEW, ("opal", "na"), limit=1000))
