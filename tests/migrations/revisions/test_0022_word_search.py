from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, MEMORIES, Case, insert, walk

CASE = Case(
    revision="0022_word_search",
    before=MEMORIES,
    after=(insert("memory_nodes", id="after", content="a cup of tea", embedding="[1,2,3,4]"),),
    adds=("memories_by_words()", "search_words()", "word_query()", "words_statement()"),
    answers=(
        ("SELECT memstore.word_query(ARRAY['tea', 'it''s'], ' | ')::text", [("'tea' | 'it''s'",)]),
        (f"SELECT lexemes FROM memstore.search_words('{INES}', 'the cups of tea', 'tenant')", [(["cup", "tea"],)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
