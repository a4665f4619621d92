from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, PEOPLE, Case, insert, walk

HASH = "\\x" + "ab" * 32


def upsert(source: str, vector: str, content: str) -> str:
    arguments = f"'{INES}', 'note', '{source}', 'm', '{vector}', content => '{content}'"
    return f"SELECT changed FROM memstore.upsert_embedding({arguments})"


CASE = Case(
    revision="0009_embedding_functions",
    before=(
        *PEOPLE,
        insert("embedding_models", name="m", dimensions=2),
        insert(
            "embeddings",
            source_type="note",
            source_id="north",
            model="m",
            embedding="[0,1]",
            content="up",
            content_hash=HASH,
        ),
    ),
    after=(upsert("east", "[1,0]", "right"), upsert("south", "[0,-3]", "down")),
    adds=(
        "check_embedding()",
        "check_embedding_width()",
        "similarity_search()",
        "upsert_embedding()",
        "vector_search_stats",
    ),
    answers=(
        (upsert("east", "[1,0]", "right"), [(False,)]),
        (upsert("north", "[0,2]", "upwards"), [(True,)]),
        (upsert("north", "[0,2]", "upwards"), [(False,)]),
        (
            f"SELECT source_id, content, similarity FROM memstore.similarity_search('{INES}', 'm', '[0,5]')",
            [("north", "upwards", 1), ("east", "right", 0), ("south", "down", -1)],
        ),
        (
            f"SELECT source_id FROM memstore.similarity_search('{INES}', 'm', '[2,1]', 0)",
            [("east",), ("north",)],
        ),
        (
            "SELECT source_type, model, dimensions, total_embeddings, total_sources FROM memstore.vector_search_stats",
            [("note", "m", 2, 3, 3)],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
