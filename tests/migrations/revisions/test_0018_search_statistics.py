from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, MEMORIES, Case, insert, walk

STATISTICS = "SELECT memories, embedded, users, sample FROM memstore.search_statistics"
WORDS = "SELECT lexeme, documents FROM memstore.word_statistics"

CASE = Case(
    revision="0018_search_statistics",
    before=MEMORIES,
    after=(
        insert("search_statistics", memories=9, embedded=7, users={INES: 9}, sample="{mem_1,mem_2}"),
        insert("word_statistics", lexeme="tea", documents=3),
    ),
    adds=("search_statistics", "word_statistics", "refresh_search_statistics()", "write_search_statistics()"),
    answers=(
        (STATISTICS, [(9, 7, {INES: 9}, ["mem_1", "mem_2"])]),
        (WORDS, [("tea", 3)]),
        (f"SELECT memstore.refresh_search_statistics('{INES}')", [(True,)]),
        (STATISTICS, [(2, 0, {}, [])]),
        (f"SELECT count(*) FROM ({WORDS}) AS w", [(0,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
